#include "qcqa/fitness/pairwise_cost.hpp"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "qcqa/plan/grouping.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

// Heads at 0, 1, 3, 7, ... on a line: squared distances.
std::vector<double> line(int n, double scale) {
  std::vector<double> dist;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      const double difference = scale * ((1 << i) - (1 << j));
      dist.push_back(difference * difference);
    }
  }
  return dist;
}

// The definition: squared deviations from the mean.
double deviation(const std::vector<std::uint8_t>& members, double scale) {
  double mean = 0, sum = 0;
  for (const auto m : members) mean += scale * (1 << m) / static_cast<double>(members.size());
  for (const auto m : members) sum += (scale * (1 << m) - mean) * (scale * (1 << m) - mean);
  return sum;
}

TEST(PairwiseCost, IsTheSumOfSquaredDeviationsFromTheMean) {
  const PairwiseCost cost(12, line(12, 1), line(12, 0.5));
  for (unsigned mask = 1; mask < 1u << 12; ++mask) {
    std::vector<std::uint8_t> members;
    for (std::uint8_t h = 0; h < 12; ++h) {
      if (mask >> h & 1u) members.push_back(h);
    }
    const double k = deviation(members, 1), v = deviation(members, 0.5);
    ASSERT_NEAR(cost.cost(members), k + v, 1e-9 * (k + v));
    ASSERT_NEAR(cost.parts(members).k, k, 1e-9 * k);
    ASSERT_NEAR(cost.parts(members).v, v, 1e-9 * v);
  }
}

TEST(PairwiseCost, SingleAndIdenticalHeadsCostExactlyNothing) {
  const PairwiseCost cost(3, {0, 0, 2, 0, 0, 2, 2, 2, 0}, std::vector<double>(9, 0));
  EXPECT_EQ(cost.cost(std::vector<std::uint8_t>{2}), 0);
  EXPECT_EQ(cost.cost(std::vector<std::uint8_t>{0, 1}), 0);
  EXPECT_EQ(cost.cost(std::vector<std::uint8_t>{0, 2}), 1);
}

TEST(PairwiseCost, OfAGroupingIsTheSumOverGroupsAndOfItsParts) {
  const PairwiseCost cost(9, line(9, 1), line(9, 0.5));
  const auto grouping = Grouping::from_labels(std::vector<int>{0, 1, 2, 0, 1, 1, 0, 3, 0});
  double sum = 0;
  for (const auto& members : grouping.members()) sum += cost.cost(members);
  EXPECT_GT(sum, 0);
  EXPECT_DOUBLE_EQ(grouping_cost(cost, grouping), sum);
  EXPECT_NEAR(grouping_cost_parts(cost, grouping).total(), sum, 1e-12 * sum);
  EXPECT_EQ(grouping_cost(cost, Grouping::identity(9)), 0);
  EXPECT_THROW((void)grouping_cost(cost, Grouping::identity(8)), Error);
}

void expect_refused(int n, std::vector<double> k, std::vector<double> v, const std::string& part) {
  try {
    const PairwiseCost cost(n, std::move(k), std::move(v));
    ADD_FAILURE() << "accepted; expected: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(PairwiseCost, RefusesWhatIsNoDistanceMatrix) {
  const std::vector<double> good{0, 1, 1, 0};
  expect_refused(0, {}, {}, "heads: must be between 1 and 256");
  expect_refused(257, {}, {}, "heads: must be between 1 and 256");
  expect_refused(2, {0, 1, 1}, good, "dist_k: must hold heads x heads = 4 distances");
  expect_refused(2, good, {0, 1, 2, 0}, "dist_v[0][1]: distances must be symmetric");
  expect_refused(2, {1, 1, 1, 0}, good, "dist_k[0][0]: the distance of a head to itself must be 0");
  expect_refused(2, {0, -1, -1, 0}, good, "dist_k[0][1]: a squared distance must be finite and not negative");
  expect_refused(2, {0, std::numeric_limits<double>::quiet_NaN(), 1, 0}, good,
                 "dist_k[0][1]: a squared distance must be finite");
  expect_refused(2, {0, std::numeric_limits<double>::infinity(), 1, 0}, good, "must be finite");
}

}  // namespace
}  // namespace qcqa
