#include "qcqa/checkpoint/dtype.hpp"

#include <gtest/gtest.h>
#include <set>
#include <string>

namespace qcqa {
namespace {

TEST(Dtype, NamesAreInverses) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Dtype::u64); ++i) {
    const auto dtype = static_cast<Dtype>(i);
    EXPECT_EQ(dtype_from_name(dtype_name(dtype)), dtype);
    names.insert(dtype_name(dtype));
  }
  EXPECT_EQ(names.size(), 22u);
}

TEST(Dtype, NamesAreCaseSensitive) {
  EXPECT_EQ(dtype_from_name("f32"), std::nullopt);
  EXPECT_EQ(dtype_from_name("F32 "), std::nullopt);
  EXPECT_EQ(dtype_from_name(""), std::nullopt);
}

TEST(Dtype, BitsFollowTheName) {
  EXPECT_EQ(dtype_bits(Dtype::f4), 4);
  EXPECT_EQ(dtype_bits(Dtype::f6_e2m3), 6);
  EXPECT_EQ(dtype_bits(Dtype::boolean), 8);
  EXPECT_EQ(dtype_bits(Dtype::bf16), 16);
  EXPECT_EQ(dtype_bits(Dtype::u32), 32);
  EXPECT_EQ(dtype_bits(Dtype::c64), 64);
}

TEST(Dtype, OnlyFourMayHoldAttention) {
  int count = 0;
  for (int i = 0; i <= static_cast<int>(Dtype::u64); ++i) count += is_attention_dtype(static_cast<Dtype>(i)) ? 1 : 0;
  EXPECT_EQ(count, 4);
  EXPECT_TRUE(is_attention_dtype(Dtype::bf16));
  EXPECT_FALSE(is_attention_dtype(Dtype::f8_e4m3));
}

}  // namespace
}  // namespace qcqa
