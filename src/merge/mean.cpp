#include "qcqa/merge/mean.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "qcqa/checkpoint/float_codec.hpp"

namespace qcqa {
namespace {

/// Elements handled at once: small enough for the first-level cache.
constexpr std::size_t kBlock = 1024;

std::size_t size_of(Dtype dtype) { return static_cast<std::size_t>(dtype_bits(dtype) / 8); }

}  // namespace

void merge_mean(std::span<const std::span<const std::byte>> members, Dtype from, Dtype to, std::span<std::byte> out) {
  const auto is_first = [&](std::span<const std::byte> member) {
    return std::memcmp(member.data(), members.front().data(), members.front().size()) == 0;
  };
  if (std::ranges::all_of(members, is_first)) {  // a sum of equals, divided, may be off by its rounding
    convert_elements(members.front(), from, to, out);
    return;
  }
  const std::size_t count = members.front().size() / size_of(from);
  std::array<double, kBlock> sum;
  std::array<double, kBlock> values;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t length = std::min(kBlock, count - begin);
    std::fill_n(sum.begin(), length, 0.0);
    for (const auto member : members) {
      decode(member.subspan(begin * size_of(from), length * size_of(from)), from, std::span(values.data(), length));
      for (std::size_t i = 0; i < length; ++i) sum[i] += values[i];
    }
    const auto divisor = static_cast<double>(members.size());
    for (std::size_t i = 0; i < length; ++i) sum[i] /= divisor;
    encode(std::span<const double>(sum.data(), length), to, out.subspan(begin * size_of(to), length * size_of(to)));
  }
}

void convert_elements(std::span<const std::byte> bytes, Dtype from, Dtype to, std::span<std::byte> out) {
  if (from == to) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return;
  }
  const std::size_t count = bytes.size() / size_of(from);
  std::array<double, kBlock> values;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t length = std::min(kBlock, count - begin);
    decode(bytes.subspan(begin * size_of(from), length * size_of(from)), from, std::span(values.data(), length));
    encode(std::span<const double>(values.data(), length), to, out.subspan(begin * size_of(to), length * size_of(to)));
  }
}

}  // namespace qcqa
