#pragma once

#include <filesystem>
#include <string_view>

#include <nlohmann/json.hpp>

#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {

/// The JSON document in a file. @throws what read_text_file does; Error(corrupt) when it is not JSON
template <typename Json = nlohmann::json>
[[nodiscard]] Json read_json_file(const std::filesystem::path& file, std::string_view fix = {}) {
  try {
    return Json::parse(read_text_file(file));
  } catch (const nlohmann::json::exception& error) {  // not only parse_error: 1e999 is out_of_range
    throw Error(ErrorKind::corrupt, file.string(), "must be valid JSON", error.what(), fix);
  }
}

}  // namespace qcqa
