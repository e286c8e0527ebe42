// Bounds must never exceed the optimum, whatever the distances; and be close to it where that is known.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "search/bound/clustering_bound.hpp"
#include "search/exact/subset_search.hpp"
#include "search/local/local_search.hpp"
#include "search/search_instances.hpp"

namespace qcqa {
namespace {

TEST(ClusteringBound, NeverExceedsTheOptimum) {
  Rng rng(81, 0);
  double closed = 0, asked = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    const int n = 3 + rng.below(6);
    const auto d = test::nasty_distances(rng, n, trial);
    const PairwiseCost cost(n, d, std::vector<double>(d.size(), 0));
    const auto optima = subset_search(cost, true, true);
    ClusteringBound bound(n, cost.distances());
    for (int groups = 2; groups < n; ++groups) {
      for (const auto sizes : {ClusteringBound::Sizes::any, ClusteringBound::Sizes::equal}) {
        const auto& labels =
            (sizes == ClusteringBound::Sizes::any ? optima.arbitrary : optima.equal)[static_cast<std::size_t>(groups)];
        if (labels.empty()) continue;
        const double optimum = grouping_cost(cost, Grouping::from_labels(labels));
        // Few iterations leave wild multipliers, many leave tight ones; the promise holds for all.
        const int iterations = trial % 3 == 0 ? rng.below(30) : 150;
        const auto result =
            bound.solve(sizes, groups, optimum, {.proof = 0, .enough = 0, .most_iterations = iterations});
        ASSERT_GE(result.bound, 0);
        ASSERT_LE(result.bound, optimum) << "kind " << trial % test::kNastyKinds << ", " << n << " heads, " << groups
                                         << " groups";
        if (trial % test::kNastyKinds == 0 && trial % 3 != 0) {
          asked += optimum;
          closed += result.bound;
        }
      }
    }
  }
  EXPECT_GT(closed, 0.97 * asked);
}

TEST(ClusteringBound, ProvesRealLayers) {
  const auto cost = test::codellama_cost("0");
  if (!cost) GTEST_SKIP() << "no data/codellama-13b-head-distances.json in QCQA_SHARED_DIR (" << QCQA_SHARED_DIR << ")";
  LocalSearch search(40, cost->distances(), Rng(1, 1));
  search.arbitrary_round(1, 40);
  ClusteringBound bound(40, cost->distances());
  for (const int groups : {2, 10, 20, 30, 39}) {
    const double known = search.arbitrary()[static_cast<std::size_t>(groups)].cost;
    const auto result = bound.solve(ClusteringBound::Sizes::any, groups, known, {.proof = 1e-8, .enough = 0});
    EXPECT_GE(result.bound, known * (1 - 1e-6)) << groups << " groups";
    EXPECT_LE(result.bound, known);
  }
}

TEST(LocalSearch, ReachesTheOptimaOfSmallLayers) {
  Rng rng(83, 0);
  for (int trial = 0; trial < 60; ++trial) {
    const int n = 3 + rng.below(10);
    const auto cost = test::random_cost(rng, n);
    LocalSearch search(n, cost.distances(), Rng(5, 1));
    for (int round = 0; round < 4; ++round) search.arbitrary_round(1, n);
    const auto optima = subset_search(cost, true, true);
    for (int groups = 1; groups <= n; ++groups) {
      const auto index = static_cast<std::size_t>(groups);
      const double optimum = grouping_cost(cost, Grouping::from_labels(optima.arbitrary[index]));
      EXPECT_NEAR(search.arbitrary()[index].cost, optimum, 1e-9 * (1 + optimum));
      if (n % groups != 0) continue;
      search.equal_round(groups, 60);
      const double equal = grouping_cost(cost, Grouping::from_labels(optima.equal[index]));
      EXPECT_NEAR(search.equal()[index].cost, equal, 1e-9 * (1 + equal));
    }
  }
}

TEST(ClusterState, ChangesAreWhatTheySay) {
  Rng rng(84, 0);
  const int n = 12;
  const auto cost = test::random_cost(rng, n);
  ClusterState state(n, cost.distances());
  std::vector<int> labels(n);
  for (int h = 0; h < n; ++h) labels[static_cast<std::size_t>(h)] = h % 4;
  state.load(labels, 4);
  for (int i = 0; i < 500; ++i) {
    const double before = state.cost();
    const int a = rng.below(n), b = rng.below(n);
    if (state.group_of(a) == state.group_of(b)) continue;
    double change = 0;
    if (rng.chance(0.5)) {
      change = state.swap_change(a, b);
      state.swap(a, b);
    } else if (state.size(state.group_of(a)) > 1) {
      change = state.move_change(a, state.group_of(b));
      state.move(a, state.group_of(b));
    }
    ASSERT_NEAR(state.cost(), before + change, 1e-9);
    ASSERT_NEAR(
        state.cost(),
        grouping_cost(cost, Grouping::from_labels(std::vector<int>(state.labels().begin(), state.labels().end()))),
        1e-9);
  }
}

}  // namespace
}  // namespace qcqa
