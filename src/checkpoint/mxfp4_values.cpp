#include "checkpoint/mxfp4_values.hpp"

#include <array>
#include <cmath>
#include <cstring>

namespace qcqa {
namespace {

/// E2M1: a sign, two bits of exponent, one of mantissa.
constexpr std::array<float, 16> kValues = {0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0F, -0.5, -1, -1.5, -2, -3, -4, -6};
constexpr int kScaleBias = 127;
constexpr int kNoNumber = 255;

}  // namespace

Mxfp4Values::Mxfp4Values(std::span<const std::byte> blocks, std::span<const std::byte> scales)
    : blocks_(blocks), scales_(scales) {}

void Mxfp4Values::make(std::uint64_t first, std::span<std::byte> out) const {
  const std::uint64_t end = first + out.size() / sizeof(float);
  std::byte* target = out.data();
  while (first < end) {
    const std::uint64_t block = first / kBlock;
    const int exponent = std::to_integer<int>(scales_[static_cast<std::size_t>(block)]);
    const float scale = exponent == kNoNumber ? NAN : std::ldexp(1.0F, exponent - kScaleBias);
    for (; first < end && first / kBlock == block; ++first, target += sizeof(float)) {
      const auto pair = std::to_integer<std::size_t>(blocks_[static_cast<std::size_t>(first / 2)]);
      const float value = kValues[first % 2 == 0 ? pair & 15U : pair >> 4U] * scale;
      std::memcpy(target, &value, sizeof value);
    }
  }
}

}  // namespace qcqa
