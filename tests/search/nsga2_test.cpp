#include "qcqa/search/nsga2.hpp"

#include <algorithm>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "qcqa/support/error.hpp"
#include "search/rng.hpp"

namespace qcqa {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Few distinct values, so that ties in one or both objectives are common.
std::vector<Objectives> random_points(Rng& rng, int count, int values) {
  std::vector<Objectives> points(static_cast<std::size_t>(count));
  for (auto& p : points) p = {static_cast<double>(rng.below(values)), static_cast<double>(rng.below(values))};
  return points;
}

// The definition: rank 0 is what nothing dominates, rank 1 what nothing else dominates once rank 0 is gone, ...
std::vector<int> ranks_by_definition(const std::vector<Objectives>& points) {
  std::vector<int> ranks(points.size(), -1);
  for (int rank = 0; std::count(ranks.begin(), ranks.end(), -1) > 0; ++rank) {
    std::vector<std::size_t> front;
    for (std::size_t i = 0; i < points.size(); ++i) {
      bool dominated = ranks[i] >= 0;
      for (std::size_t j = 0; j < points.size() && !dominated; ++j)
        dominated = ranks[j] < 0 && dominates(points[j], points[i]);
      if (!dominated) front.push_back(i);
    }
    for (const auto i : front) ranks[i] = rank;
  }
  return ranks;
}

TEST(Nsga2, DominanceNeedsOneStrictlyBetterObjective) {
  EXPECT_TRUE(dominates({1, 2}, {1, 3}));
  EXPECT_TRUE(dominates({1, 2}, {2, 2}));
  EXPECT_FALSE(dominates({1, 2}, {1, 2}));
  EXPECT_FALSE(dominates({1, 3}, {2, 2}));
}

TEST(Nsga2, RanksEqualTheDefinition) {
  Rng rng(1, 0);
  for (int round = 0; round < 300; ++round) {
    const auto points = random_points(rng, rng.between(0, 40), rng.between(1, 20));
    EXPECT_EQ(non_dominated_ranks(points), ranks_by_definition(points));
  }
}

TEST(Nsga2, CrowdingOfAFrontByHand) {
  const std::vector<Objectives> points{{0, 10}, {1, 6}, {4, 4}, {10, 0}};
  const auto crowding = crowding_distances(points, std::vector<int>(4, 0));
  EXPECT_EQ(crowding[0], kInfinity);
  EXPECT_DOUBLE_EQ(crowding[1], 4.0 / 10 + 6.0 / 10);
  EXPECT_DOUBLE_EQ(crowding[2], 9.0 / 10 + 6.0 / 10);
  EXPECT_EQ(crowding[3], kInfinity);
}

TEST(Nsga2, CrowdingCountsEachFrontByItself) {
  const std::vector<Objectives> points{{0, 2}, {5, 7}, {1, 1}, {6, 6}, {2, 0}, {7, 5}};
  const auto crowding = crowding_distances(points, non_dominated_ranks(points));
  EXPECT_EQ(crowding, (std::vector<double>{kInfinity, kInfinity, 2, 2, kInfinity, kInfinity}));
}

TEST(Nsga2, CopiesHaveNoCrowdingDistance) {
  const std::vector<Objectives> points{{0, 2}, {0, 2}, {1, 1}, {1, 1}, {2, 0}};
  const auto crowding = crowding_distances(points, non_dominated_ranks(points));
  EXPECT_EQ(crowding, (std::vector<double>{kInfinity, 0, 2, 0, kInfinity}));
}

TEST(Nsga2, CrowdingNeedsOneRankPerPoint) {
  const std::vector<Objectives> points{{0, 2}, {1, 1}};
  EXPECT_THROW((void)crowding_distances(points, std::vector<int>{0}), Error);
  EXPECT_THROW((void)crowding_distances(points, std::vector<int>{0, -1}), Error);
}

TEST(Nsga2, HypervolumeByHand) {
  EXPECT_EQ(hypervolume(std::vector<Objectives>{}, {4, 4}), 0);
  EXPECT_EQ(hypervolume(std::vector<Objectives>{{1, 1}}, {4, 4}), 9);
  EXPECT_EQ(hypervolume(std::vector<Objectives>{{3, 1}, {1, 3}, {2, 2}}, {4, 4}), 6);
}

TEST(Nsga2, HypervolumeIgnoresDominatedPointsAndThoseBeyondTheReference) {
  const std::vector<Objectives> points{{1, 3}, {2, 3}, {2, 3.5}, {4, 0}, {0, 4}, {9, 9}, {1, 3}};
  EXPECT_EQ(hypervolume(points, {4, 4}), 3);
}

TEST(Rng, GivesThePublishedSequence) {
  // xoshiro256** from state {1, 2, 3, 4}: the first values of the reference implementation.
  Rng rng(Rng::State{1, 2, 3, 4});
  EXPECT_EQ(rng.next(), 11520u);
  EXPECT_EQ(rng.next(), 0u);
  EXPECT_EQ(rng.next(), 1509978240u);
  EXPECT_EQ(rng.next(), 1215971899390074240u);
}

TEST(Rng, BoundedNumbersAreUniform) {
  Rng rng(5, 0);
  std::vector<int> count(7);
  for (int i = 0; i < 70000; ++i) ++count[static_cast<std::size_t>(rng.below(7))];
  for (const int c : count) EXPECT_NEAR(c, 10000, 500);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(rng.below(1), 0);
}

}  // namespace
}  // namespace qcqa
