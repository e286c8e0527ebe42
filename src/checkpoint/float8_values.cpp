#include "checkpoint/float8_values.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

namespace qcqa {
namespace {

/// The value of every byte (Micikevicius et al., "FP8 Formats for Deep Learning", arXiv 2209.05433, table 1). E4M3 has
/// no infinity and one NaN per sign; E5M2 has both as IEEE 754 does.
std::array<float, 256> make_table(int mantissa_bits, bool has_infinity) {
  const int exponent_bits = 7 - mantissa_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int largest = (1 << exponent_bits) - 1;
  std::array<float, 256> table{};
  for (int byte = 0; byte < 256; ++byte) {
    const int exponent = byte >> mantissa_bits & largest;
    const int mantissa = byte & ((1 << mantissa_bits) - 1);
    const bool full = mantissa == (1 << mantissa_bits) - 1;
    float value = exponent == 0 ? std::ldexp(static_cast<float>(mantissa), 1 - bias - mantissa_bits)
                                : std::ldexp(static_cast<float>(mantissa + (1 << mantissa_bits)),
                                             exponent - bias - mantissa_bits);
    if (exponent == largest && has_infinity) {
      value = mantissa == 0 ? std::numeric_limits<float>::infinity() : std::numeric_limits<float>::quiet_NaN();
    } else if (exponent == largest && full) {
      value = std::numeric_limits<float>::quiet_NaN();
    }
    table[static_cast<std::size_t>(byte)] = byte < 128 ? value : -value;
  }
  return table;
}

const std::array<float, 256>& table_of(Dtype dtype) {
  static const std::array<float, 256> kE4m3 = make_table(3, false);
  static const std::array<float, 256> kE5m2 = make_table(2, true);
  return dtype == Dtype::f8_e5m2 ? kE5m2 : kE4m3;
}

}  // namespace

Float8Values::Float8Values(TensorView quantised, TensorView scales, std::int64_t block_rows, std::int64_t block_columns)
    : quantised_(std::move(quantised)),
      scales_(std::move(scales)),
      columns_(quantised_.shape.back()),
      block_rows_(block_rows),
      block_columns_(block_columns),
      scale_columns_((columns_ + block_columns - 1) / block_columns) {}

float Float8Values::scale_of(std::int64_t row, std::int64_t column_block) const {
  if (scales_.stored.empty()) return 1;
  const auto place = static_cast<std::uint64_t>(row / block_rows_ * scale_columns_ + column_block);
  if (scales_.dtype == Dtype::f8_e8m0 || scales_.dtype == Dtype::u8) {
    return std::ldexp(1.0F, std::to_integer<int>(scales_.stored[static_cast<std::size_t>(place)]) - 127);
  }
  float scale = 0;
  TensorSlice(scales_, place, 1).read(std::span(&scale, 1));
  return scale;
}

void Float8Values::make(std::uint64_t first, std::span<std::byte> out) const {
  const std::array<float, 256>& table = table_of(quantised_.dtype);
  auto at = static_cast<std::int64_t>(first);
  const std::int64_t end = at + static_cast<std::int64_t>(out.size() / sizeof(float));
  std::byte* target = out.data();
  while (at < end) {  // the part of a row that shares a scale
    const std::int64_t row = at / columns_, column = at % columns_, block = column / block_columns_;
    const std::int64_t count = std::min({end - at, columns_ - column, (block + 1) * block_columns_ - column});
    const float scale = scale_of(row, block);
    for (std::int64_t i = 0; i < count; ++i, target += sizeof(float)) {
      const float value =
          table[std::to_integer<std::size_t>(quantised_.stored[static_cast<std::size_t>(at + i)])] * scale;
      std::memcpy(target, &value, sizeof value);
    }
    at += count;
  }
}

}  // namespace qcqa
