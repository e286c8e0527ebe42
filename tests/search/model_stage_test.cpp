// Stage 2: one grouping for every layer.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "qcqa/search/model_search.hpp"
#include "search/evolution/evolution.hpp"
#include "search/evolution/model_problem.hpp"
#include "search/search_instances.hpp"

namespace qcqa {
namespace {

// Layers of very different weight, each with falling costs; not convex.
std::vector<std::vector<LayerOption>> random_options(Rng& rng, int layers, int heads) {
  std::vector<std::vector<LayerOption>> options;
  for (int l = 0; l < layers; ++l) {
    const double weight = std::exp(rng.below(3000) / 1000.0);
    std::vector<LayerOption> layer;
    double cost = 0;
    for (int groups = heads; groups >= 1; --groups) {
      layer.insert(layer.begin(), {.groups = groups, .cost = cost});
      cost += weight * (1 + rng.below(1000) / 200.0);
    }
    options.push_back(std::move(layer));
  }
  return options;
}

double front_hypervolume(const std::vector<double>& best, const Objectives& reference) {
  std::vector<Objectives> points;
  for (std::size_t total = 0; total < best.size(); ++total) points.push_back({static_cast<double>(total), best[total]});
  return hypervolume(points, reference);
}

std::vector<double> archive_costs(const ModelProblem& problem) {
  std::vector<double> costs;
  for (const auto& best : problem.archive()) costs.push_back(best.cost);
  return costs;
}

TEST(ModelStage, ReachesTheExactFrontOfASmallModel) {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    Rng rng(21, seed);
    const auto options = random_options(rng, 6, 6);
    Evolution<ModelProblem> evolution(ModelProblem(options), SearchOptions{}.model_nsga2, Rng(seed, 0));
    evolution.start();
    while (!evolution.finished()) evolution.step();
    const auto exact = test::best_by_total(options);
    const auto found = archive_costs(evolution.problem());
    for (std::size_t total = 6; total < exact.size(); ++total)
      EXPECT_NEAR(found[total], exact[total], 1e-9 * (1 + exact[total]));
  }
}

TEST(ModelStage, NearlyReachesTheExactFrontOf32LayersOf32Heads) {
  Rng rng(22, 0);
  const auto options = random_options(rng, 32, 32);
  Evolution<ModelProblem> evolution(ModelProblem(options), SearchOptions{}.model_nsga2, Rng(0, 0));
  evolution.start();
  while (!evolution.finished()) evolution.step();
  const auto exact = test::best_by_total(options);
  const Objectives reference{32.0 * 32 + 1, exact[32] * 1.01};
  const double ratio =
      front_hypervolume(archive_costs(evolution.problem()), reference) / front_hypervolume(exact, reference);
  EXPECT_GE(ratio, 0.999);
  EXPECT_LE(ratio, 1 + 1e-12);
}

TEST(ModelStage, FrontFallsFromMhaToTheSmallestSize) {
  Rng rng(23, 0);
  std::vector<PairwiseCost> costs;
  for (int l = 0; l < 3; ++l) costs.push_back(test::random_cost(rng, 6));
  const auto result = ModelSearch(test::pointers(costs), {}).run();
  EXPECT_EQ(result.stop, StopReason::completed);
  EXPECT_EQ(result.front.front().kv_heads, 18);
  EXPECT_EQ(result.front.front().cost, 0);
  EXPECT_EQ(result.front.back().kv_heads, 3);
  for (std::size_t p = 0; p < result.front.size(); ++p) {
    const auto& point = result.front[p];
    double cost = 0;
    int heads = 0;
    for (std::size_t l = 0; l < 3; ++l) {
      cost += grouping_cost(costs[l], point.layers[l]);
      heads += point.layers[l].groups();
    }
    EXPECT_EQ(point.kv_heads, heads);
    EXPECT_NEAR(point.cost, cost, 1e-12 * cost);
    if (p > 0) {
      EXPECT_LT(point.kv_heads, result.front[p - 1].kv_heads);
      EXPECT_GT(point.cost, result.front[p - 1].cost);
    }
  }
}

TEST(ModelStage, UniformPlansHaveOneGroupCountAndEqualGroups) {
  Rng rng(24, 0);
  std::vector<PairwiseCost> costs;
  for (int l = 0; l < 2; ++l) costs.push_back(test::random_cost(rng, 8));
  const auto result = ModelSearch(test::pointers(costs), {}).run();
  ASSERT_EQ(result.uniform.size(), 4u);
  int groups = 8;
  for (const auto& point : result.uniform) {
    for (const auto& layer : point.layers) {
      EXPECT_EQ(layer.groups(), groups);
      EXPECT_TRUE(layer.has_equal_groups());
    }
    EXPECT_EQ(point.cardinality, Cardinality::equal);
    groups /= 2;
  }
}

TEST(ModelStage, BinaryKeepsOrGroupsEachLayer) {
  Rng rng(25, 0);
  std::vector<PairwiseCost> costs;
  for (int l = 0; l < 5; ++l) costs.push_back(test::random_cost(rng, 6));
  SearchOptions options;
  options.stage2 = Stage2::binary;
  options.binary_groups = 2;
  const auto result = ModelSearch(test::pointers(costs), options).run();
  ASSERT_EQ(result.front.size(), 6u);
  for (std::size_t grouped = 0; grouped < 6; ++grouped) {
    EXPECT_EQ(result.front[grouped].kv_heads, 30 - 4 * static_cast<int>(grouped));
    for (const auto& layer : result.front[grouped].layers) EXPECT_TRUE(layer.groups() == 2 || layer.groups() == 6);
  }
}

TEST(ModelStage, LayersMayDifferInHeads) {
  Rng rng(26, 0);
  std::vector<PairwiseCost> costs{test::random_cost(rng, 8), test::random_cost(rng, 1), test::random_cost(rng, 4)};
  SearchOptions options;
  options.layer.min_groups = 2;
  const auto result = ModelSearch(test::pointers(costs), options).run();
  EXPECT_EQ(result.front.front().kv_heads, 13);
  EXPECT_EQ(result.front.back().kv_heads, 2 + 1 + 2);
}

}  // namespace
}  // namespace qcqa
