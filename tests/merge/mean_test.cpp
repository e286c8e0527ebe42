#include "qcqa/merge/mean.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>
#include <vector>

#include "qcqa/checkpoint/float_codec.hpp"

namespace qcqa {
namespace {

std::vector<std::byte> packed(const std::vector<double>& values, Dtype dtype) {
  std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(dtype_bits(dtype) / 8));
  encode(values, dtype, bytes);
  return bytes;
}

std::vector<double> random_values(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> values(count);
  for (double& value : values) value = static_cast<double>(random() >> 11) * 0x1p-52 - 1;
  return values;
}

std::vector<std::byte> merged(const std::vector<std::vector<std::byte>>& members, Dtype from, Dtype to) {
  const std::vector<std::span<const std::byte>> views(members.begin(), members.end());
  std::vector<std::byte> out(members.front().size() * static_cast<std::size_t>(dtype_bits(to)) /
                             static_cast<std::size_t>(dtype_bits(from)));
  merge_mean(views, from, to, out);
  return out;
}

TEST(MergeMean, IsTheMeanRoundedOnce) {
  // The mean of the first pair lies just above the middle of two bfloat16 values. Rounding it to float32 on the way
  // would land on the middle, and then on the even neighbour below.
  const double above_middle = 1.0 + 0x1p-8 + 0x1p-40;
  const auto out = merged({packed({above_middle, 4.0}, Dtype::f64), packed({above_middle, -2.0}, Dtype::f64)},
                          Dtype::f64, Dtype::bf16);
  std::vector<double> values(2);
  decode(out, Dtype::bf16, values);
  EXPECT_EQ(values[0], 1.0 + 0x1p-7);
  EXPECT_EQ(values[1], 1.0);
}

TEST(MergeMean, OneMemberIsCopiedBitForBit) {
  for (const Dtype dtype : {Dtype::f16, Dtype::bf16, Dtype::f32, Dtype::f64}) {
    const auto member = packed(random_values(3000, 1), dtype);
    EXPECT_EQ(merged({member}, dtype, dtype), member) << dtype_name(dtype);
  }
}

TEST(MergeMean, EqualMembersAreKeptBitForBit) {
  for (const Dtype dtype : {Dtype::f16, Dtype::bf16, Dtype::f32}) {
    const auto member = packed(random_values(3000, 2), dtype);
    for (const std::size_t count : {2, 3, 5, 7}) {
      EXPECT_EQ(merged(std::vector(count, member), dtype, dtype), member) << dtype_name(dtype) << " x " << count;
    }
  }
}

TEST(MergeMean, ConvertsTheTypeOfOneMember) {
  const auto values = random_values(1500, 3);
  EXPECT_EQ(merged({packed(values, Dtype::f64)}, Dtype::f64, Dtype::f16), packed(values, Dtype::f16));
}

}  // namespace
}  // namespace qcqa
