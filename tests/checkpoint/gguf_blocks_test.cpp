#include "checkpoint/gguf_blocks.hpp"

#include <cstring>
#include <random>

#include <gtest/gtest.h>

namespace qcqa {
namespace {

/// One and a half in float16, little-endian.
constexpr std::array<unsigned char, 2> kOneAndAHalf = {0x00, 0x3e};

std::vector<std::byte> block_of(std::initializer_list<unsigned> bytes, std::size_t size) {
  std::vector<std::byte> block;
  for (const unsigned byte : bytes) block.push_back(static_cast<std::byte>(byte));
  block.resize(size);
  return block;
}

std::vector<float> values_of(std::span<const std::byte> blocks, const GgufBlockType& type, std::uint64_t first,
                             std::size_t count) {
  std::vector<float> values(count);
  GgufBlockValues(blocks, type).make(first, std::as_writable_bytes(std::span(values)));
  return values;
}

const GgufBlockType& type_named(std::string_view name) {
  for (std::uint32_t code = 0; code < 64; ++code) {
    const GgufBlockType* type = find_gguf_block_type(code);
    if (type && type->name == name) return *type;
  }
  throw std::invalid_argument(std::string(name));
}

TEST(GgufBlocks, SmallTypesAreScaledIntegers) {
  // The other types, and these with any bytes, are held against the reference implementation by the interop tests.
  auto q8 = block_of({kOneAndAHalf[0], kOneAndAHalf[1], 2, 0xff}, 34);
  EXPECT_EQ(values_of(q8, type_named("Q8_0"), 0, 3), (std::vector<float>{3, -1.5F, 0}));
  auto q4 = block_of({kOneAndAHalf[0], kOneAndAHalf[1], 0xf9}, 18);
  EXPECT_EQ(values_of(q4, type_named("Q4_0"), 0, 1).front(), 1.5F);    // 9 - 8
  EXPECT_EQ(values_of(q4, type_named("Q4_0"), 16, 1).front(), 10.5F);  // 15 - 8
}

TEST(GgufBlocks, ReadingMayBeginAnywhere) {
  std::mt19937 random(3);
  for (const char* name : {"Q4_1", "Q5_0", "Q3_K", "Q5_K", "Q6_K", "IQ4_XS"}) {
    SCOPED_TRACE(name);
    const GgufBlockType& type = type_named(name);
    std::vector<std::byte> blocks(type.bytes * 5U);
    for (std::byte& byte : blocks) byte = static_cast<std::byte>(random() & 0x3bU);  // no scale becomes NaN
    const std::size_t count = type.elements * std::size_t{5};
    const std::vector<float> all = values_of(blocks, type, 0, count);
    for (const std::size_t first : {std::size_t{1}, std::size_t{31}, std::size_t{type.elements}, count - 3}) {
      const std::size_t length = std::min(count - first, type.elements + std::size_t{7});
      const std::vector<float> part = values_of(blocks, type, first, length);
      EXPECT_EQ(std::memcmp(part.data(), all.data() + first, length * sizeof(float)), 0) << first;
    }
  }
}

TEST(GgufBlocks, TypesThatAreNotReadHaveNames) {
  EXPECT_EQ(find_gguf_block_type(16), nullptr);
  EXPECT_EQ(gguf_type_name(16), "IQ2_XXS");
  EXPECT_EQ(gguf_type_name(12), "Q4_K");
  EXPECT_EQ(gguf_type_name(99), "type 99");
}

}  // namespace
}  // namespace qcqa
