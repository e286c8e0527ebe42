#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>

#include <nlohmann/json.hpp>

#include "checkpoint/python_json.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {

/// Why parsing failed, without the library's "[json.exception.parse_error.101] ".
[[nodiscard]] inline std::string json_reason(const nlohmann::json::exception& error) {
  std::string_view reason = error.what();
  if (const auto tag = reason.find("] "); tag != std::string_view::npos) reason.remove_prefix(tag + 2);
  return std::string(reason);
}

/// What Python's reader stops at, about.
inline constexpr std::size_t kDeepestJson = 1000;

/// The JSON document in a file, as Python reads it (see python_json.hpp).
/// @throws what read_text_file does; Error(corrupt) when it is not JSON, or nested deeper than kDeepestJson
template <typename Json = nlohmann::json>
[[nodiscard]] Json read_json_file(const std::filesystem::path& file, std::string_view fix = {}) {
  try {
    const std::string text = read_text_file(file);
    if (const std::size_t depth = json_depth(text); depth > kDeepestJson) {
      throw Error(ErrorKind::corrupt, file.string(),
                  "must not be nested too deeply (" + std::to_string(kDeepestJson) + " levels)", std::to_string(depth),
                  fix);
    }
    if constexpr (std::is_same_v<Json, nlohmann::ordered_json>) {
      return parse_ordered_python_json(text);
    } else {
      return parse_python_json(text);
    }
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::corrupt, file.string(), "must be valid JSON", json_reason(error), fix);
  }
}

}  // namespace qcqa
