#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace qcqa::testing {

/// The 8 little-endian bytes of a number.
inline std::string le64(std::uint64_t value) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<char>(value >> (8 * i) & 0xff));
  return bytes;
}

/// A safetensors file: length, header as given, data.
inline std::string safetensors_bytes(std::string_view header, std::string_view data = {}) {
  return le64(header.size()).append(header).append(data);
}

}  // namespace qcqa::testing
