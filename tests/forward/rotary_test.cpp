#include "forward/rotary.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.hpp"

namespace qcqa {
namespace {

using namespace testing;

RotarySpec plain(std::vector<float> frequencies) {
  RotarySpec spec;
  spec.dim = 2 * static_cast<int>(frequencies.size());
  spec.frequencies = std::move(frequencies);
  return spec;
}

at::Tensor rotated(const RotarySpec& spec, const at::Tensor& heads, std::int64_t position, std::int64_t length = 100) {
  const RotaryTable table(spec, length, Runtime{});
  return apply_rotary(heads.view({1, 1, -1}), table.rows({position}, {length})).view({-1});
}

TEST(Rotary, TurnsPlanesOfTheTwoHalves) {
  // Planes (0, 2) and (1, 3): by 3 * 0.5 and by 3 * 0.1.
  const at::Tensor found = rotated(plain({0.5F, 0.1F}), at::tensor({1.0F, 2.0F, 0.0F, -1.0F}), 3);
  const double a = 1.5, b = 0.3;
  const at::Tensor expected =
      at::tensor({std::cos(a), 2 * std::cos(b) + std::sin(b), std::sin(a), 2 * std::sin(b) - std::cos(b)}, at::kFloat);
  EXPECT_TRUE(at::allclose(found, expected, 1e-6, 1e-6)) << found;
}

TEST(Rotary, LeavesDimensionsBeyondItsOwn) {
  const at::Tensor head = at::tensor({1.0F, 0.0F, 5.0F, 7.0F});
  const at::Tensor found = rotated(plain({1.0F}), head, 2);
  EXPECT_NEAR(found[0].item<double>(), std::cos(2), 1e-6);
  EXPECT_NEAR(found[1].item<double>(), std::sin(2), 1e-6);
  EXPECT_TRUE(at::equal(found.narrow(0, 2, 2), head.narrow(0, 2, 2)));
}

TEST(Rotary, ScoresDependOnDistanceAlone) {
  at::manual_seed(4);
  const RotarySpec spec = plain({1.0F, 0.3F, 0.01F});
  const at::Tensor query = at::randn({6}), key = at::randn({6});
  const auto score = [&](std::int64_t q, std::int64_t k) {
    return at::dot(rotated(spec, query, q), rotated(spec, key, k)).item<double>();
  };
  EXPECT_NEAR(score(5, 2), score(63, 60), 1e-5);
  EXPECT_GT(std::abs(score(5, 2) - score(63, 59)), 1e-3);
}

TEST(Rotary, MagnitudeScalesWhatIsRotated) {
  RotarySpec spec = plain({0.0F});
  spec.magnitude = 1.5;
  EXPECT_TRUE(at::allclose(rotated(spec, at::tensor({2.0F, 4.0F, 8.0F}), 9), at::tensor({3.0F, 6.0F, 8.0F})));
}

TEST(Rotary, LongSequencesHaveFrequenciesOfTheirOwn) {
  RotarySpec spec = plain({0.5F});
  spec.kind = RotarySpec::Kind::longrope;
  spec.long_frequencies = {0.25F};
  spec.switch_length = 8;
  const RotaryTable table(spec, 20, Runtime{});
  const RotaryTable::Rows rows = table.rows({2, 2, 2}, {7, 8, 9});
  for (const auto& [row, angle] : {std::pair{0, 1.0}, {1, 1.0}, {2, 0.5}}) {
    EXPECT_NEAR(rows.cosines[row][0].item<double>(), std::cos(angle), 1e-6);
    EXPECT_NEAR(rows.sines[row][0].item<double>(), std::sin(angle), 1e-6);
  }
}

TEST(Rotary, DynamicScalingEndsAtTheTrainedLength) {
  RotarySpec spec = plain({0.5F});
  spec.kind = RotarySpec::Kind::dynamic;
  spec.switch_length = 16;
  EXPECT_NO_THROW(RotaryTable(spec, 16, Runtime{}));
  expect_error(ErrorKind::unsupported, "up to the length it was trained for, 16; found 17",
               [&] { (void)RotaryTable(spec, 17, Runtime{}); });
}

}  // namespace
}  // namespace qcqa
