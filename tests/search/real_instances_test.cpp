// The facts known of real checkpoints; skipped where the shared files are not at hand.
#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "qcqa/search/model_search.hpp"
#include "search/search_instances.hpp"

namespace qcqa {
namespace {

double sum(const SearchResult& result, Cardinality cardinality, int groups) {
  double total = 0;
  for (const auto& layer : result.layers) total += layer.find(cardinality, groups)->cost;
  return total;
}

TEST(RealInstances, Nsga2OfStories15mReachesEveryOptimum) {
  const auto costs = test::stories15m_costs();
  if (!costs) GTEST_SKIP() << "no models/stories15M in QCQA_SHARED_DIR (" << QCQA_SHARED_DIR << ")";
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    SearchOptions options;
    options.strategy = Strategy::nsga2;
    options.layer.seed = seed;
    const auto result = ModelSearch(test::pointers(*costs), options).run();
    EXPECT_NEAR(sum(result, Cardinality::contiguous, 3), 504.47, 0.005);
    EXPECT_NEAR(sum(result, Cardinality::equal, 3), 490.27, 0.005);
    EXPECT_NEAR(sum(result, Cardinality::arbitrary, 3), 461.98, 0.005);
    EXPECT_NEAR(sum(result, Cardinality::contiguous, 2), 669.94, 0.005);
    EXPECT_NEAR(sum(result, Cardinality::equal, 2), 657.33, 0.005);
    EXPECT_NEAR(sum(result, Cardinality::arbitrary, 2), 642.25, 0.005);
    EXPECT_NEAR(sum(result, Cardinality::equal, 1), 835.4, 0.05);
    const auto at_18 =
        std::find_if(result.front.begin(), result.front.end(), [](const ModelPoint& p) { return p.kv_heads == 18; });
    ASSERT_NE(at_18, result.front.end());
    EXPECT_NEAR(at_18->cost, 408.7, 0.05);

    // Stage 2 exactly: dynamic programming over the layers' fronts.
    std::vector<std::vector<LayerOption>> choices;
    for (const auto& layer : result.layers) {
      auto& choice = choices.emplace_back();
      for (int groups = 1; groups <= 6; ++groups)
        choice.push_back({groups, layer.find(Cardinality::arbitrary, groups)->cost});
    }
    const auto exact = test::best_by_total(choices);
    for (const auto& point : result.front) {
      const double best = exact[static_cast<std::size_t>(point.kv_heads)];
      EXPECT_NEAR(point.cost, best, 1e-9 * (1 + best));
    }
    EXPECT_EQ(result.front.size(), 31u);
  }
}

struct Known {
  const char* layer;
  int groups;
  Cardinality cardinality;
  double cost;
  double tolerance;  // relative, of the default search
};

TEST(RealInstances, Nsga2OfCodeLlamaComesCloseToTheBestKnown) {
  constexpr double kRounding = 1e-4;  // the known values have one decimal
  constexpr double kEqual = 5e-4;     // equal groups are the harder class
  const std::vector<Known> known{
      {"0", 20, Cardinality::equal, 4129.8, kEqual},   {"0", 20, Cardinality::arbitrary, 2462.3, kRounding},
      {"0", 10, Cardinality::equal, 6242.1, kEqual},   {"0", 10, Cardinality::arbitrary, 4313.6, kRounding},
      {"0", 5, Cardinality::equal, 7332.8, kEqual},    {"0", 5, Cardinality::arbitrary, 5919.9, kRounding},
      {"12", 20, Cardinality::equal, 16188.2, kEqual}, {"12", 20, Cardinality::arbitrary, 14793.6, kRounding},
      {"12", 10, Cardinality::equal, 24342.7, kEqual}, {"12", 10, Cardinality::arbitrary, 23388.9, kRounding},
  };
  for (const std::string layer : {"0", "12"}) {
    const auto cost = test::codellama_cost(layer);
    if (!cost)
      GTEST_SKIP() << "no data/codellama-13b-head-distances.json in QCQA_SHARED_DIR (" << QCQA_SHARED_DIR << ")";
    SearchOptions options;
    options.strategy = Strategy::nsga2;
    const auto result = ModelSearch({&*cost}, options).run();
    for (const auto& fact : known) {
      if (fact.layer != layer) continue;
      const double found = result.layers[0].find(fact.cardinality, fact.groups)->cost;
      EXPECT_LE(found, fact.cost * (1 + fact.tolerance)) << "layer " << layer << ", " << fact.groups << " groups";
    }
  }
}

// The targets of the default search: at least the best known, and nearly proven everywhere.
TEST(RealInstances, DefaultSearchOfCodeLlamaIsNearlyProven) {
  const std::vector<Known> known{
      {"0", 20, Cardinality::equal, 4129.8, 0},   {"0", 20, Cardinality::arbitrary, 2462.3, 0},
      {"0", 10, Cardinality::equal, 6242.1, 0},   {"0", 10, Cardinality::arbitrary, 4313.6, 1e-5},
      {"0", 5, Cardinality::equal, 7332.8, 2e-6}, {"0", 5, Cardinality::arbitrary, 5919.9, 1e-5},
      {"12", 20, Cardinality::equal, 16188.2, 0}, {"12", 20, Cardinality::arbitrary, 14793.6, 0},
      {"12", 10, Cardinality::equal, 24342.7, 0}, {"12", 10, Cardinality::arbitrary, 23388.9, 3e-6},
  };
  for (const std::string layer : {"0", "12"}) {
    const auto cost = test::codellama_cost(layer);
    if (!cost)
      GTEST_SKIP() << "no data/codellama-13b-head-distances.json in QCQA_SHARED_DIR (" << QCQA_SHARED_DIR << ")";
    const auto result = ModelSearch({&*cost}, {}).run();
    int proven = 0, searched = 0;
    for (const auto& entry : result.layers[0].groupings) {
      EXPECT_GE(entry.lower_bound, entry.cost * (1 - 1e-3)) << layer << ", " << entry.grouping.groups() << " groups";
      if (entry.cardinality != Cardinality::arbitrary) continue;
      ++searched;
      proven += entry.proven;
    }
    EXPECT_GE(proven, 0.9 * searched);
    EXPECT_TRUE(result.layers[0].find(Cardinality::equal, 20)->proven);
    for (const auto& fact : known) {
      if (fact.layer != layer) continue;
      EXPECT_LE(result.layers[0].find(fact.cardinality, fact.groups)->cost, fact.cost * (1 + fact.tolerance))
          << "layer " << layer << ", " << fact.groups << " groups";
    }
  }
}

}  // namespace
}  // namespace qcqa
