#include "qcqa/checkpoint/float_codec.hpp"

#include <gtest/gtest.h>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "support/expect_error.hpp"

namespace qcqa {
namespace {

using testing::expect_error;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Layout {
  int mantissa_bits, bias;
};
Layout layout_of(Dtype dtype) { return dtype == Dtype::f16 ? Layout{10, 15} : Layout{7, 127}; }

/// The value of a 16-bit pattern straight from the definition.
double reference_value(std::uint16_t bits, Dtype dtype) {
  const auto [mantissa_bits, bias] = layout_of(dtype);
  const int mantissa = bits & ((1 << mantissa_bits) - 1);
  const int exponent = (bits & 0x7fff) >> mantissa_bits;
  const int special = 0x7fff >> mantissa_bits;
  double value = exponent == 0 ? std::ldexp(mantissa, 1 - bias - mantissa_bits)
                               : std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
  if (exponent == special) value = mantissa == 0 ? kInfinity : std::nan("");
  return bits & 0x8000 ? -value : value;
}

std::uint16_t encode_one(double value, Dtype dtype) {
  std::uint16_t bits = 0;
  encode(std::span(&value, 1), dtype, std::as_writable_bytes(std::span(&bits, 1)));
  return bits;
}

template <typename Out>
std::vector<Out> decode_all_patterns(Dtype dtype) {
  std::vector<std::uint16_t> patterns(65536);
  for (std::size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<std::uint16_t>(i);
  std::vector<Out> values(patterns.size());
  decode(std::as_bytes(std::span(patterns)), dtype, std::span<Out>(values));
  return values;
}

class HalfCodec : public ::testing::TestWithParam<Dtype> {};

TEST_P(HalfCodec, DecodesEveryPatternExactly) {
  const auto doubles = decode_all_patterns<double>(GetParam());
  const auto floats = decode_all_patterns<float>(GetParam());
  for (std::size_t i = 0; i < doubles.size(); ++i) {
    const double wanted = reference_value(static_cast<std::uint16_t>(i), GetParam());
    if (std::isnan(wanted)) {
      EXPECT_TRUE(std::isnan(doubles[i]) && std::isnan(floats[i])) << i;
    } else {
      EXPECT_EQ(std::bit_cast<std::uint64_t>(doubles[i]), std::bit_cast<std::uint64_t>(wanted)) << i;
      EXPECT_EQ(static_cast<double>(floats[i]), wanted) << i;
    }
  }
}

TEST_P(HalfCodec, RoundTripsEveryPattern) {
  const std::vector<double> values = decode_all_patterns<double>(GetParam());
  std::vector<std::uint16_t> back(values.size());
  encode(values, GetParam(), std::as_writable_bytes(std::span(back)));
  const auto quiet_bit = static_cast<std::uint16_t>(1 << (layout_of(GetParam()).mantissa_bits - 1));
  for (std::size_t i = 0; i < back.size(); ++i) {
    const auto pattern = static_cast<std::uint16_t>(i);
    const std::uint16_t wanted = std::isnan(values[i]) ? pattern | quiet_bit : pattern;  // signalling NaNs become quiet
    ASSERT_EQ(back[i], wanted) << i;
  }
}

TEST_P(HalfCodec, RoundsTiesToEvenBetweenAllNeighbours) {
  const auto [mantissa_bits, bias] = layout_of(GetParam());
  const int infinity = 0x7fff >> mantissa_bits << mantissa_bits;
  for (int i = 0; i + 1 < infinity; ++i) {
    const auto below = static_cast<std::uint16_t>(i), above = static_cast<std::uint16_t>(i + 1);
    const double tie = (reference_value(below, GetParam()) + reference_value(above, GetParam())) / 2;
    ASSERT_EQ(encode_one(tie, GetParam()), i % 2 == 0 ? below : above) << i;
    ASSERT_EQ(encode_one(-tie, GetParam()), (i % 2 == 0 ? below : above) | 0x8000) << i;
    // One double away from the tie: a detour through float would lose this and round the wrong way.
    ASSERT_EQ(encode_one(std::nextafter(tie, 0), GetParam()), below) << i;
    ASSERT_EQ(encode_one(std::nextafter(tie, kInfinity), GetParam()), above) << i;
  }
}

TEST_P(HalfCodec, OverflowsToInfinityFromHalfAStepAboveTheLargest) {
  const auto [mantissa_bits, bias] = layout_of(GetParam());
  const auto infinity = static_cast<std::uint16_t>(0x7fff >> mantissa_bits << mantissa_bits);
  const double largest = reference_value(static_cast<std::uint16_t>(infinity - 1), GetParam());
  const double half_step = std::ldexp(1.0, bias - mantissa_bits - 1);
  EXPECT_EQ(encode_one(largest + half_step, GetParam()), infinity);
  EXPECT_EQ(encode_one(std::nextafter(largest + half_step, 0), GetParam()), infinity - 1);
  EXPECT_EQ(encode_one(std::numeric_limits<double>::max(), GetParam()), infinity);
  EXPECT_EQ(encode_one(-kInfinity, GetParam()), infinity | 0x8000);
}

TEST_P(HalfCodec, RoundsTinyValuesToSignedZero) {
  EXPECT_EQ(encode_one(std::numeric_limits<double>::denorm_min(), GetParam()), 0);
  EXPECT_EQ(encode_one(-std::numeric_limits<double>::denorm_min(), GetParam()), 0x8000);
  EXPECT_EQ(encode_one(-0.0, GetParam()), 0x8000);
}

TEST_P(HalfCodec, FindsEveryNonFinitePattern) {
  for (int i = 0; i < 65536; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    ASSERT_EQ(all_finite(std::as_bytes(std::span(&bits, 1)), GetParam()),
              std::isfinite(reference_value(bits, GetParam())));
  }
}

INSTANTIATE_TEST_SUITE_P(Types, HalfCodec, ::testing::Values(Dtype::f16, Dtype::bf16),
                         [](const auto& param) { return std::string(dtype_name(param.param)); });

TEST(FloatCodec, RoundsF64ToFloatOnce) {
  const std::vector<double> values{1.0 + 0x1p-24, 1.0 + 0x1p-24 + 0x1p-52, 1e300, 0x1p-149};
  std::vector<float> out(values.size());
  decode(std::as_bytes(std::span(values)), Dtype::f64, std::span<float>(out));
  EXPECT_EQ(out[0], 1.0f);
  EXPECT_EQ(out[1], 1.0f + 0x1p-23f);
  EXPECT_TRUE(std::isinf(out[2]));
  EXPECT_EQ(out[3], 0x1p-149f);
}

TEST(FloatCodec, RoundTripsF32AndF64) {
  const std::vector<double> values{0.0, -1.5, 3.0e38, 1e-40, kInfinity};
  for (const Dtype dtype : {Dtype::f32, Dtype::f64}) {
    std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(dtype_bits(dtype)) / 8);
    std::vector<double> back(values.size());
    encode(values, dtype, bytes);
    decode(bytes, dtype, std::span<double>(back));
    for (std::size_t i = 0; i < values.size(); ++i) {
      EXPECT_EQ(back[i], dtype == Dtype::f64 ? values[i] : static_cast<double>(static_cast<float>(values[i])));
    }
  }
}

TEST(FloatCodec, ReadsAndWritesMisalignedBytes) {
  const std::vector<double> values{1.0, 2.0, -3.0};
  for (const Dtype dtype : {Dtype::f16, Dtype::bf16, Dtype::f32, Dtype::f64}) {
    const std::size_t size = values.size() * static_cast<std::size_t>(dtype_bits(dtype)) / 8;
    std::vector<std::byte> buffer(size + 1);
    const std::span<std::byte> odd = std::span(buffer).subspan(1);
    std::vector<double> back(values.size());
    encode(values, dtype, odd);
    decode(odd, dtype, std::span<double>(back));
    EXPECT_EQ(back, values);
    EXPECT_TRUE(all_finite(odd, dtype));
  }
}

TEST(FloatCodec, FindsTheOneBadValueAnywhere) {
  for (const Dtype dtype : {Dtype::f16, Dtype::bf16, Dtype::f32, Dtype::f64}) {
    std::vector<double> values(10'000, 1.0);
    std::vector<std::byte> bytes(values.size() * static_cast<std::size_t>(dtype_bits(dtype)) / 8);
    for (const std::size_t bad : {std::size_t{0}, std::size_t{4096}, values.size() - 1}) {
      values[bad] = bad == 0 ? std::nan("") : -kInfinity;
      encode(values, dtype, bytes);
      EXPECT_FALSE(all_finite(bytes, dtype));
      values[bad] = 1.0;
    }
    encode(values, dtype, bytes);
    EXPECT_TRUE(all_finite(bytes, dtype));
  }
}

TEST(FloatCodec, TakesNoElements) {
  std::span<double> none;
  EXPECT_NO_THROW(decode({}, Dtype::bf16, none));
  EXPECT_TRUE(all_finite({}, Dtype::f32));
}

TEST(FloatCodec, RefusesOtherTypes) {
  std::vector<std::byte> bytes(4);
  std::vector<double> out(4);
  expect_error(ErrorKind::invalid_argument, "only F16, BF16, F32 and F64",
               [&] { decode(bytes, Dtype::i8, std::span<double>(out)); });
}

TEST(FloatCodec, RefusesDisagreeingSizes) {
  std::vector<std::byte> bytes(5);
  std::vector<double> out(2);
  expect_error(ErrorKind::invalid_argument, "5 bytes for 2 elements of BF16",
               [&] { decode(bytes, Dtype::bf16, std::span<double>(out)); });
  expect_error(ErrorKind::invalid_argument, "5 bytes", [&] { (void)all_finite(bytes, Dtype::f16); });
}

}  // namespace
}  // namespace qcqa
