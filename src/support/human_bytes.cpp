#include "qcqa/support/human_bytes.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstddef>

namespace qcqa {

std::string human_bytes(double bytes) {
  static constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  const int digits = bytes == std::floor(bytes) || bytes >= 100 ? 0 : 1;
  return fmt::format("{:.{}f} {}", bytes, digits, kUnits[unit]);
}

}  // namespace qcqa
