#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "qcqa/checkpoint/dtype.hpp"

namespace qcqa {

/// One entry of a safetensors header as written, not yet checked against the data.
struct SafetensorsEntry {
  std::string name;
  Dtype dtype{};
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0, end = 0;  ///< byte range behind the header
};

/// Parses the JSON of a header, in the order it was written.
/// @throws Error(corrupt), one message per rule; duplicate tensor names are refused (most readers
/// keep the last one)
[[nodiscard]] std::vector<SafetensorsEntry> parse_safetensors_header(std::string_view json, const std::string& where);

}  // namespace qcqa
