#include "checkpoint/mxfp4_values.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace qcqa {
namespace {

std::vector<float> made(const Mxfp4Values& values, std::uint64_t first, std::size_t count) {
  std::vector<float> out(count);
  values.make(first, std::as_writable_bytes(std::span(out)));
  return out;
}

class Mxfp4 : public ::testing::Test {
 protected:
  Mxfp4() {
    for (std::size_t i = 0; i < blocks_.size(); ++i)
      blocks_[i] = static_cast<std::byte>(i % 8 * 2 + (i % 8 * 2 + 1) * 16);
  }

  /// Two blocks, each twice the codes 0 to 15 in order.
  std::array<std::byte, 32> blocks_{};
  std::array<std::byte, 2> scales_ = {std::byte{127}, std::byte{129}};
};

TEST_F(Mxfp4, CodesStandForTheValuesOfTheStandard) {
  const std::vector<float> expected = {0,     0.5F,  1,  1.5F,  2,  3,  4,  6,  //
                                       -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6};
  EXPECT_EQ(made({blocks_, scales_}, 0, 16), expected);
  EXPECT_EQ(made({blocks_, scales_}, 16, 16), expected);
}

TEST_F(Mxfp4, EachBlockHasItsPowerOfTwoWhereverReadingBegins) {
  const Mxfp4Values values(blocks_, scales_);
  EXPECT_EQ(made(values, 29, 6), (std::vector<float>{-3, -4, -6, 0, 2, 4}));
  EXPECT_EQ(made(values, 63, 1), (std::vector<float>{-24}));
}

TEST_F(Mxfp4, TheLargestExponentIsNoNumber) {
  scales_[0] = std::byte{255};
  EXPECT_TRUE(std::isnan(made({blocks_, scales_}, 1, 1)[0]));
}

}  // namespace
}  // namespace qcqa
