#include "forward/alibi.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <vector>

namespace qcqa {
namespace {

void expect_slopes(int heads, const std::vector<double>& expected, double exponent = 8) {
  const at::Tensor slopes = alibi_slopes(heads, exponent);
  ASSERT_EQ(slopes.numel(), static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i)
    EXPECT_NEAR(slopes[static_cast<std::int64_t>(i)].item<double>(), expected[i], 1e-7) << heads << " heads, " << i;
}

TEST(Alibi, SlopesOfAPowerOfTwoAreAGeometricRow) {  // the paper, section 3
  expect_slopes(8, {1 / 2., 1 / 4., 1 / 8., 1 / 16., 1 / 32., 1 / 64., 1 / 128., 1 / 256.});
  expect_slopes(1, {1 / 256.});
  expect_slopes(2, {1 / 4., 1 / 16.}, 4);
}

TEST(Alibi, OtherNumbersTakeEverySecondSlopeOfTwiceAsMany) {
  expect_slopes(6, {1 / 4., 1 / 16., 1 / 64., 1 / 256., 1 / 2., 1 / 8.});
}

}  // namespace
}  // namespace qcqa
