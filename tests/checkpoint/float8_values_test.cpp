#include "checkpoint/float8_values.hpp"

#include <array>
#include <cmath>

#include <gtest/gtest.h>

namespace qcqa {
namespace {

TensorView float8_view(std::span<const std::byte> bytes, Dtype dtype, std::vector<std::int64_t> shape) {
  return {.name = "w", .dtype = dtype, .shape = std::move(shape), .stored = bytes, .file = {}};
}

std::vector<float> values_of(const Float8Values& values, std::uint64_t first, std::size_t count) {
  std::vector<float> out(count);
  values.make(first, std::as_writable_bytes(std::span(out)));
  return out;
}

TEST(Float8Values, BytesAreTheNumbersOfTheirFormat) {
  const std::array<std::byte, 7> bytes = {std::byte{0x38}, std::byte{0xb8}, std::byte{0x01}, std::byte{0x7e},
                                          std::byte{0x7f}, std::byte{0x00}, std::byte{0x7c}};
  const auto e4m3 = values_of({float8_view(bytes, Dtype::f8_e4m3, {1, 7}), {}, 1, 7}, 0, 7);
  EXPECT_EQ(e4m3[0], 1.0F);
  EXPECT_EQ(e4m3[1], -1.0F);
  EXPECT_EQ(e4m3[2], 0x1p-9F);  // the smallest
  EXPECT_EQ(e4m3[3], 448.0F);   // the largest
  EXPECT_TRUE(std::isnan(e4m3[4]));
  EXPECT_EQ(e4m3[5], 0.0F);
  EXPECT_EQ(e4m3[6], 384.0F);
  const auto e5m2 = values_of({float8_view(bytes, Dtype::f8_e5m2, {1, 7}), {}, 1, 7}, 0, 7);
  EXPECT_EQ(e5m2[0], 0.5F);
  EXPECT_EQ(e5m2[2], 0x1p-16F);
  EXPECT_TRUE(std::isnan(e5m2[3]));
  EXPECT_TRUE(std::isinf(e5m2[6]));
}

TEST(Float8Values, EveryBlockHasItsScale) {
  const std::vector<std::byte> ones(3 * 5, std::byte{0x38});
  const std::array<float, 6> scales = {1, 2, 3, 4, 5, 6};
  const Float8Values values(float8_view(ones, Dtype::f8_e4m3, {3, 5}),
                            float8_view(std::as_bytes(std::span(scales)), Dtype::f32, {2, 3}), 2, 2);
  EXPECT_EQ(values_of(values, 0, 15), (std::vector<float>{1, 1, 2, 2, 3, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6}));
  EXPECT_EQ(values_of(values, 4, 8), (std::vector<float>{3, 1, 1, 2, 2, 3, 4, 4}));
}

TEST(Float8Values, ScalesMayBePowersOfTwo) {
  const std::vector<std::byte> ones(4, std::byte{0x38});
  const std::array<std::byte, 2> scales = {std::byte{127}, std::byte{130}};
  for (const Dtype dtype : {Dtype::f8_e8m0, Dtype::u8}) {
    const Float8Values values(float8_view(ones, Dtype::f8_e4m3, {2, 2}), float8_view(scales, dtype, {2, 1}), 1, 2);
    EXPECT_EQ(values_of(values, 0, 4), (std::vector<float>{1, 1, 8, 8}));
  }
}

}  // namespace
}  // namespace qcqa
