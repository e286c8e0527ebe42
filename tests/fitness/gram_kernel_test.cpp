#include "fitness/gram_kernel.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <random>

#include "qcqa/checkpoint/float_codec.hpp"

namespace qcqa {
namespace {

/// Elements of every exponent that a type has near 1, and of all its bits.
std::vector<std::byte> random_elements(std::mt19937_64& random, Dtype dtype, std::size_t count) {
  std::normal_distribution<double> value(0, 1);
  const std::size_t size = static_cast<std::size_t>(dtype_bits(dtype) / 8);
  std::vector<std::byte> bytes(count * size);
  for (std::size_t i = 0; i < count; ++i) {
    const double one = value(random);
    encode(std::span(&one, 1), dtype, std::span(bytes).subspan(i * size, size));
  }
  return bytes;
}

std::vector<std::uint64_t> bits_of(const std::vector<double>& values) {
  std::vector<std::uint64_t> bits;
  for (const double value : values) bits.push_back(std::bit_cast<std::uint64_t>(value));
  return bits;
}

class GramKernel : public ::testing::TestWithParam<Dtype> {};

TEST_P(GramKernel, SameBitsOnEveryVectorUnit) {
  std::mt19937_64 random(11);
  const std::size_t size = static_cast<std::size_t>(dtype_bits(GetParam()) / 8);
  // Rows and lengths that are no multiples of any tile, vector or panel, and some that are.
  for (const std::size_t heads : {1, 3, 8, 13}) {
    for (const std::size_t length : {1, 7, 8, 255, 256, 257, 1000, 4099}) {
      std::vector<std::vector<std::byte>> storage;
      std::vector<const std::byte*> rows;
      for (std::size_t i = 0; i < heads; ++i) {
        storage.push_back(random_elements(random, GetParam(), length + 1));
        rows.push_back(storage.back().data() + (i % 2) * size);  // not all aligned alike
      }
      const auto baseline = bits_of(gram_of_rows(rows, GetParam(), 0, length, VectorUnit::baseline));
      for (const VectorUnit unit : {VectorUnit::avx2, VectorUnit::avx512}) {
        if (unit > widest_vector_unit()) continue;
        EXPECT_EQ(bits_of(gram_of_rows(rows, GetParam(), 0, length, unit)), baseline)
            << heads << " heads, " << length << " elements, unit " << static_cast<int>(unit);
      }
      EXPECT_EQ(bits_of(gram_of_rows(rows, GetParam(), 0, length)), baseline);
    }
  }
}

/// Written down without vectors: eight sums that take turns, then their sum.
TEST_P(GramKernel, SumsAreThoseOfEightLanesInOrder) {
  std::mt19937_64 random(12);
  static constexpr std::size_t kLength = 777;
  std::vector<std::vector<double>> values;
  std::vector<std::vector<std::byte>> storage;
  std::vector<const std::byte*> rows;
  for (int i = 0; i < 5; ++i) {
    storage.push_back(random_elements(random, GetParam(), kLength));
    rows.push_back(storage.back().data());
    decode(storage.back(), GetParam(), values.emplace_back(kLength));
  }
  const std::vector<double> gram = gram_of_rows(rows, GetParam(), 0, kLength);
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t j = 0; j < 5; ++j) {
      double lanes[8] = {};
      for (std::size_t k = 0; k < kLength; ++k) {
        volatile double product = values[i][k] * values[j][k];  // rounded
        lanes[k % 8] += product;
      }
      double sum = 0;
      for (const double lane : lanes) sum += lane;
      EXPECT_EQ(gram[i * 5 + j], sum) << i << ' ' << j;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GramKernel, ::testing::Values(Dtype::bf16, Dtype::f16, Dtype::f32, Dtype::f64),
                         [](const auto& type) { return std::string(dtype_name(type.param)); });

}  // namespace
}  // namespace qcqa
