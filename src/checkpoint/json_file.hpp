#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {

/// Why parsing failed, without the library's "[json.exception.parse_error.101] ".
[[nodiscard]] inline std::string json_reason(const nlohmann::json::exception& error) {
  std::string_view reason = error.what();
  if (const auto tag = reason.find("] "); tag != std::string_view::npos) reason.remove_prefix(tag + 2);
  return std::string(reason);
}

/// The JSON document in a file. @throws what read_text_file does; Error(corrupt) when it is not JSON
template <typename Json = nlohmann::json>
[[nodiscard]] Json read_json_file(const std::filesystem::path& file, std::string_view fix = {}) {
  try {
    return Json::parse(read_text_file(file));
  } catch (const nlohmann::json::exception& error) {  // not only parse_error: 1e999 is out_of_range
    throw Error(ErrorKind::corrupt, file.string(), "must be valid JSON", json_reason(error), fix);
  }
}

}  // namespace qcqa
