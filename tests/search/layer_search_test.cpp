// Stage 1: groupings of one layer.
#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "qcqa/search/model_search.hpp"
#include "search/evolution/evolution.hpp"
#include "search/evolution/grouping_problem.hpp"
#include "search/search_instances.hpp"

namespace qcqa {
namespace {

LayerFront search_layer(const GroupCost& cost, SearchOptions options = {}) {
  options.strategy = Strategy::nsga2;
  return ModelSearch({&cost}, options).run().layers.front();
}

TEST(LayerSearch, ReachesEveryOptimumOfSmallLayers) {
  Rng rng(11, 0);
  for (int heads = 1; heads <= 8; ++heads) {
    const auto cost = test::random_cost(rng, heads);
    std::map<std::pair<Cardinality, int>, double> best;
    test::for_each_partition(heads, [&](const Grouping& grouping) {
      const double c = grouping_cost(cost, grouping);
      const auto improve = [&](Cardinality cardinality) {
        const auto [it, added] = best.try_emplace({cardinality, grouping.groups()}, c);
        if (!added) it->second = std::min(it->second, c);
      };
      improve(Cardinality::arbitrary);
      if (grouping.has_equal_groups()) improve(Cardinality::equal);
      if (grouping.cardinality() == Cardinality::contiguous) improve(Cardinality::contiguous);
    });
    const auto front = search_layer(cost);
    EXPECT_EQ(front.groupings.size(), best.size());
    for (const auto& [place, optimum] : best) {
      const auto* entry = front.find(place.first, place.second);
      ASSERT_NE(entry, nullptr);
      EXPECT_NEAR(entry->cost, optimum, 1e-12 * optimum) << heads << " heads, " << place.second << " groups";
    }
  }
}

TEST(LayerSearch, EntriesAreConsistentAndSorted) {
  Rng rng(12, 0);
  const auto cost = test::random_cost(rng, 12);
  const auto front = search_layer(cost);
  EXPECT_EQ(front.heads, 12);
  EXPECT_GT(front.evaluations, 0);
  EXPECT_EQ(front.one_group_cost, front.find(Cardinality::arbitrary, 1)->cost);
  std::pair<Cardinality, int> previous{Cardinality::arbitrary, -13};
  for (const auto& entry : front.groupings) {
    const std::pair<Cardinality, int> place{entry.cardinality, -entry.grouping.groups()};
    EXPECT_LT(previous, place);
    previous = place;
    EXPECT_EQ(entry.cost, grouping_cost(cost, entry.grouping));
    EXPECT_NEAR(entry.parts.total(), entry.cost, 1e-12 * entry.cost);
    EXPECT_GE(entry.grouping.cardinality(), entry.cardinality);
    const int groups = entry.grouping.groups();
    if (groups == 1) {
      EXPECT_EQ(entry.source, "mqa");
    }
    if (groups == 12) {
      EXPECT_EQ(entry.source, "mha");
    }
    if (entry.cardinality == Cardinality::contiguous && groups > 1 && groups < 12) {
      EXPECT_EQ(entry.source, "gqa");
    }
    EXPECT_LE(front.find(Cardinality::arbitrary, groups)->cost, entry.cost);
  }
  EXPECT_EQ(front.find(Cardinality::arbitrary, 5)->source, "nsga2");
}

TEST(LayerSearch, GroupCountsOutsideTheRangeAreBaselinesOnly) {
  Rng rng(13, 0);
  const auto cost = test::random_cost(rng, 12);
  SearchOptions options;
  options.layer.min_groups = 3;
  options.layer.max_groups = 5;
  const auto front = search_layer(cost, options);
  for (int groups = 1; groups <= 12; ++groups) {
    const bool inside = groups >= 3 && groups <= 5;
    EXPECT_EQ(front.find(Cardinality::arbitrary, groups) != nullptr, inside);
    EXPECT_EQ(front.find(Cardinality::equal, groups) != nullptr, inside && 12 % groups == 0);
    EXPECT_EQ(front.find(Cardinality::contiguous, groups) != nullptr, 12 % groups == 0);
  }
}

TEST(LayerSearch, IdenticalHeadsCostNothing) {
  const PairwiseCost cost(4, std::vector<double>(16, 0), std::vector<double>(16, 0));
  const auto result = ModelSearch({&cost}, {}).run();
  EXPECT_EQ(result.layers[0].find(Cardinality::equal, 1)->cost, 0);
  ASSERT_EQ(result.front.size(), 1u);
  EXPECT_EQ(result.front[0].kv_heads, 1);
}

// Operators must only ever make members of the space: decode() accepts exactly these.
TEST(LayerSearch, OperatorsStayInsideTheSpace) {
  Rng rng(14, 0);
  for (const auto cardinality : {Cardinality::arbitrary, Cardinality::equal}) {
    for (const int heads : {1, 2, 5, 12, 40}) {
      const auto cost = test::random_cost(rng, heads);
      for (const auto& [min, max] :
           {std::pair{1, heads}, {std::min(2, heads), std::max(1, heads / 2)}, {heads, heads}}) {
        if (min > max) continue;
        GroupingProblem problem(cost, cardinality, min, max);
        if (problem.group_counts().empty()) continue;
        Labels a, b, child;
        for (int i = 0; i < 300; ++i) {
          problem.random(rng, a);
          problem.random(rng, b);
          for (const auto* made : {&a, &b}) ASSERT_EQ(problem.decode(problem.encode(*made)), *made);
          problem.crossover(rng, a, b, child);
          ASSERT_EQ(problem.decode(problem.encode(child)), child);
          problem.mutate(rng, child);
          ASSERT_EQ(problem.decode(problem.encode(child)), child);
        }
      }
    }
  }
}

TEST(LayerSearch, CrossoverInheritsWholeGroups) {
  Rng rng(15, 0);
  const auto cost = test::random_cost(rng, 12);
  GroupingProblem problem(cost, Cardinality::equal, 1, 12);
  const auto a = to_labels(Grouping::from_labels(std::vector<int>{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}));
  const auto b = to_labels(Grouping::contiguous(12, 4));
  const auto members = to_grouping(a, 12).members();
  for (int i = 0; i < 100; ++i) {
    Labels child;
    problem.crossover(rng, a, b, child);
    const auto of_child = to_grouping(child, 12).members();
    int inherited = 0;
    for (const auto& group : of_child) inherited += std::count(members.begin(), members.end(), group) > 0;
    EXPECT_GE(inherited, 1);
  }
}

TEST(LayerSearch, WorksWithTheLargestLayer) {
  Rng rng(16, 0);
  const auto cost = test::random_cost(rng, kMaxKvHeads);
  SearchOptions options;
  options.layer.nsga2 = {.population = 16, .generations = 3};
  options.model_nsga2 = {.population = 16, .generations = 3};
  const auto front = search_layer(cost, options);
  EXPECT_NE(front.find(Cardinality::arbitrary, 256), nullptr);
  EXPECT_NE(front.find(Cardinality::equal, 128), nullptr);
}

}  // namespace
}  // namespace qcqa
