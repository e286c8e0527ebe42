#include "search/local/cluster_state.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "search/search_instances.hpp"

namespace qcqa {
namespace {

class ClusterStateTest : public ::testing::Test {
 protected:
  static constexpr int kHeads = 9;

  ClusterStateTest() : rng_(11, 0), cost_(test::random_cost(rng_, kHeads)), state_(kHeads, cost_.distances()) {
    state_.load(std::vector<int>{0, 1, 2, 0, 1, 2, 0, 1, 0}, 3);
  }

  /// Of the labels as they are now, from the distances alone.
  [[nodiscard]] double cost_by_definition() const {
    return grouping_cost(cost_, Grouping::from_labels(state_.labels()));
  }

  void expect_consistent() const {
    ASSERT_NEAR(state_.cost(), cost_by_definition(), 1e-9);
    std::vector<int> sizes(at(state_.groups()), 0);
    for (int h = 0; h < kHeads; ++h) ++sizes[at(state_.group_of(h))];
    for (int g = 0; g < state_.groups(); ++g) {
      ASSERT_EQ(state_.size(g), sizes[at(g)]);
      for (int h = 0; h < kHeads; ++h) {
        double reach = 0;
        for (int i = 0; i < kHeads; ++i) reach += state_.group_of(i) == g ? state_.distance(h, i) : 0;
        ASSERT_NEAR(state_.reach(g, h), reach, 1e-9);
      }
    }
  }

  Rng rng_;
  PairwiseCost cost_;
  ClusterState state_;
};

TEST_F(ClusterStateTest, LoadSumsEverything) { expect_consistent(); }

TEST_F(ClusterStateTest, MovesChangeTheCostAsForetold) {
  for (int step = 0; step < 300; ++step) {
    const int h = rng_.below(kHeads), to = rng_.below(state_.groups());
    if (to == state_.group_of(h) || state_.size(state_.group_of(h)) == 1) continue;
    const double foretold = cost_by_definition() + state_.move_change(h, to);
    state_.move(h, to);
    ASSERT_NEAR(cost_by_definition(), foretold, 1e-9);
    expect_consistent();
  }
}

TEST_F(ClusterStateTest, SwapsChangeTheCostAsForetold) {
  for (int step = 0; step < 300; ++step) {
    const int a = rng_.below(kHeads), b = rng_.below(kHeads);
    if (state_.group_of(a) == state_.group_of(b)) continue;
    const double foretold = cost_by_definition() + state_.swap_change(a, b);
    state_.swap(a, b);
    ASSERT_NEAR(cost_by_definition(), foretold, 1e-9);
    expect_consistent();
  }
}

TEST_F(ClusterStateTest, MergesChangeTheCostAsForetold) {
  const double foretold = cost_by_definition() + state_.merge_change(0, 1);
  state_.merge(0, 1);
  EXPECT_EQ(state_.groups(), 2);
  EXPECT_NEAR(cost_by_definition(), foretold, 1e-9);
  expect_consistent();
}

TEST_F(ClusterStateTest, TheLastGroupTakesTheNumberOfTheMergedOne) {
  state_.merge(1, 0);
  EXPECT_EQ(state_.group_of(2), 0);  // was the last, 2
  EXPECT_EQ(state_.group_of(0), 1);
}

TEST_F(ClusterStateTest, SplittingOffMakesAGroupOfOne) {
  state_.split_off(3);
  EXPECT_EQ(state_.groups(), 4);
  EXPECT_EQ(state_.size(3), 1);
  EXPECT_EQ(state_.cost(3), 0);
  expect_consistent();
}

TEST_F(ClusterStateTest, AGroupOfOneCostsExactlyNothing) {
  // Where rounding is worst: distances of very different size, put in and taken out.
  const std::vector<double> distances = {0, 1e12, 1e-3, 1e12, 0, 0.7, 1e-3, 0.7, 0};
  ClusterState state(3, distances);
  state.load(std::vector<int>{0, 0, 1}, 2);
  state.move(0, 1);
  EXPECT_EQ(state.cost(0), 0);
  state.swap(1, 0);
  EXPECT_EQ(state.cost(0), 0);
}

}  // namespace
}  // namespace qcqa
