// What is exact must be exact: subset dynamic programming and perfect matchings against brute force.
#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include <gtest/gtest.h>

#include "qcqa/search/model_search.hpp"
#include "search/exact/pair_grouping.hpp"
#include "search/exact/perfect_matching.hpp"
#include "search/exact/subset_search.hpp"
#include "search/search_instances.hpp"

namespace qcqa {
namespace {

TEST(SubsetSearch, FindsEveryOptimum) {
  Rng rng(71, 0);
  for (int heads = 1; heads <= 8; ++heads) {
    const auto cost = test::random_cost(rng, heads);
    std::map<int, double> any, equal;
    test::for_each_partition(heads, [&](const Grouping& grouping) {
      const double c = grouping_cost(cost, grouping);
      const auto least = [&](std::map<int, double>& best) {
        const auto [it, added] = best.try_emplace(grouping.groups(), c);
        if (!added) it->second = std::min(it->second, c);
      };
      least(any);
      if (grouping.has_equal_groups()) least(equal);
    });
    const auto found = subset_search(cost, true, true);
    for (int groups = 1; groups <= heads; ++groups) {
      const auto index = static_cast<std::size_t>(groups);
      const auto a = Grouping::from_labels(found.arbitrary[index]);
      EXPECT_EQ(a.groups(), groups);
      EXPECT_NEAR(grouping_cost(cost, a), any[groups], 1e-12 * any[groups]);
      ASSERT_EQ(found.equal[index].empty(), heads % groups != 0);
      if (heads % groups != 0) continue;
      const auto e = Grouping::from_labels(found.equal[index]);
      EXPECT_EQ(e.groups(), groups);
      EXPECT_TRUE(e.has_equal_groups());
      EXPECT_NEAR(grouping_cost(cost, e), equal[groups], 1e-12 * equal[groups]);
    }
  }
}

TEST(SubsetSearch, SolvesSixteenHeads) {
  Rng rng(72, 0);
  const auto cost = test::random_cost(rng, kMaxSubsetHeads);
  const auto found = subset_search(cost, true, true);
  double before = 1e300;
  for (int groups = 1; groups <= kMaxSubsetHeads; ++groups) {
    const auto index = static_cast<std::size_t>(groups);
    const double any = grouping_cost(cost, Grouping::from_labels(found.arbitrary[index]));
    EXPECT_LT(any, before);
    before = any;
    if (!found.equal[index].empty()) {
      EXPECT_LE(any, grouping_cost(cost, Grouping::from_labels(found.equal[index])) * (1 + 1e-12));
    }
  }
}

// Least weight by dynamic programming over the set of matched vertices.
std::int64_t best_matching(int n, const std::vector<std::int64_t>& w) {
  std::vector<std::int64_t> best(std::size_t{1} << n, INT64_MAX);
  best[0] = 0;
  for (std::size_t used = 0; used + 1 < best.size(); ++used) {
    if (best[used] == INT64_MAX) continue;
    int i = 0;
    while ((used >> i & 1) != 0) ++i;
    for (int j = i + 1; j < n; ++j) {
      if ((used >> j & 1) != 0) continue;
      std::int64_t& next = best[used | std::size_t{1} << i | std::size_t{1} << j];
      next = std::min(next, best[used] + w[static_cast<std::size_t>(i * n + j)]);
    }
  }
  return best.back();
}

TEST(PerfectMatching, AgreesWithBruteForce) {
  Rng rng(73, 0);
  for (int trial = 0; trial < 6000; ++trial) {
    const int n = 2 * (1 + rng.below(trial % 100 == 0 ? 8 : 6));
    const int range = trial % 3 == 0 ? 3 : trial % 3 == 1 ? 60 : 1 << 29;  // many ties, some, none
    const int low = trial % 5 == 0 ? -range : 0;
    std::vector<std::int64_t> w(static_cast<std::size_t>(n * n));
    for (int i = 0; i < n; ++i) {
      for (int j = i + 1; j < n; ++j) {
        w[static_cast<std::size_t>(i * n + j)] = w[static_cast<std::size_t>(j * n + i)] = rng.between(low, range);
      }
    }
    const auto mate = minimum_perfect_matching(n, w);
    std::int64_t weight = 0;
    for (int i = 0; i < n; ++i) {
      const int j = mate[static_cast<std::size_t>(i)];
      ASSERT_NE(j, i);
      ASSERT_EQ(mate[static_cast<std::size_t>(j)], i);
      if (i < j) weight += w[static_cast<std::size_t>(i * n + j)];
    }
    ASSERT_EQ(weight, best_matching(n, w)) << "trial " << trial;
  }
}

// Least cost over all partitions, by class and number of groups; as doubles add up, so that rounding counts.
double least_cost(const PairwiseCost& cost, Cardinality cardinality, int groups) {
  double least = std::numeric_limits<double>::infinity();
  test::for_each_partition(cost.heads(), [&](const Grouping& grouping) {
    if (grouping.groups() != groups || (cardinality == Cardinality::equal && !grouping.has_equal_groups())) return;
    least = std::min(least, grouping_cost(cost, grouping));
  });
  return least;
}

TEST(PairGrouping, BoundsAreSafeAndTight) {
  Rng rng(74, 0);
  for (int trial = 0; trial < 2000; ++trial) {
    const int n = 2 * (1 + rng.below(4));
    const PairwiseCost cost(n, test::nasty_distances(rng, n, trial),
                            std::vector<double>(static_cast<std::size_t>(n * n), 0));
    const auto pairs = best_pairs(n, cost.distances());
    const double least = least_cost(cost, Cardinality::equal, n / 2);
    const double largest = *std::max_element(cost.distances().begin(), cost.distances().end());
    ASSERT_LE(pairs.lower_bound, least) << "trial " << trial;
    ASSERT_NEAR(grouping_cost(cost, Grouping::from_labels(pairs.labels)), least, 1e-14 * n * largest);
    ASSERT_GE(pairs.lower_bound, least - 1e-14 * n * largest) << "trial " << trial;
  }
}

TEST(SubsetSearch, ProvenBoundsNeverExceedTheOptimum) {
  Rng rng(75, 0);
  for (int trial = 0; trial < 2000; ++trial) {
    const int n = 2 + rng.below(6);
    const PairwiseCost cost(n, test::nasty_distances(rng, n, trial),
                            std::vector<double>(static_cast<std::size_t>(n * n), 0));
    const auto result = ModelSearch({&cost}, {}).run();
    for (const auto& entry : result.layers[0].groupings) {
      if (entry.cardinality == Cardinality::contiguous) continue;
      const double least = least_cost(cost, entry.cardinality, entry.grouping.groups());
      ASSERT_TRUE(entry.proven);
      ASSERT_LE(entry.lower_bound, least) << "trial " << trial;
      ASSERT_LE(entry.cost, least * (1 + 1e-14)) << "trial " << trial;
    }
  }
}

TEST(PerfectMatching, TakesTheLargestLayer) {
  const int n = 256;
  std::vector<std::int64_t> w(static_cast<std::size_t>(n * n));
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) w[static_cast<std::size_t>(i * n + j)] = std::abs(i - j);
  }
  const auto mate = minimum_perfect_matching(n, w);
  for (int i = 0; i < n; ++i) EXPECT_EQ(mate[static_cast<std::size_t>(i)], i ^ 1);
}

}  // namespace
}  // namespace qcqa
