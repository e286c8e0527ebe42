// Strategies other than NSGA-II, bounds in fronts, and the exact layer budget.
#include <atomic>
#include <numeric>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "qcqa/search/model_search.hpp"
#include "qcqa/support/error.hpp"
#include "search/exact/layer_budget.hpp"
#include "search/kdgqa.hpp"
#include "search/search_instances.hpp"

namespace qcqa {
namespace {

/// A cost that is not made of distances: the largest distance in the group.
class DiameterCost final : public GroupCost {
 public:
  explicit DiameterCost(PairwiseCost inner) : inner_(std::move(inner)) {}
  [[nodiscard]] int heads() const noexcept override { return inner_.heads(); }
  [[nodiscard]] double cost(std::span<const std::uint8_t> members) const noexcept override {
    double most = 0;
    for (const auto i : members) {
      for (const auto j : members) most = std::max(most, inner_.distances()[i * static_cast<std::size_t>(heads()) + j]);
    }
    return most;
  }
  [[nodiscard]] CostParts parts(std::span<const std::uint8_t> members) const noexcept override {
    return {cost(members), 0};
  }

 private:
  PairwiseCost inner_;
};

std::vector<PairwiseCost> layers(int count, int heads) {
  Rng rng(91, static_cast<std::uint64_t>(heads));
  std::vector<PairwiseCost> costs;
  for (int l = 0; l < count; ++l) costs.push_back(test::random_cost(rng, heads, 40));
  return costs;
}

SearchOptions with(Strategy strategy) {
  SearchOptions options;
  options.strategy = strategy;
  return options;
}

void expect_same_proofs(const SearchResult& a, const SearchResult& b) {
  ASSERT_EQ(a.layers.size(), b.layers.size());
  for (std::size_t l = 0; l < a.layers.size(); ++l) {
    ASSERT_EQ(a.layers[l].groupings.size(), b.layers[l].groupings.size());
    EXPECT_EQ(a.layers[l].evaluations, b.layers[l].evaluations);
    for (std::size_t g = 0; g < a.layers[l].groupings.size(); ++g) {
      const auto &x = a.layers[l].groupings[g], &y = b.layers[l].groupings[g];
      EXPECT_EQ(x.grouping, y.grouping);
      EXPECT_EQ(x.lower_bound, y.lower_bound);
      EXPECT_EQ(x.proven, y.proven);
      EXPECT_EQ(x.source, y.source);
    }
  }
  ASSERT_EQ(a.front.size(), b.front.size());
  for (std::size_t p = 0; p < a.front.size(); ++p) {
    EXPECT_EQ(a.front[p].layers, b.front[p].layers);
    EXPECT_EQ(a.front[p].lower_bound, b.front[p].lower_bound);
  }
}

TEST(Strategy, SmallLayersAreProvenWhateverTheCost) {
  for (auto& pairwise : layers(2, 7)) {
    const DiameterCost diameter(pairwise);
    for (const GroupCost* cost : {static_cast<const GroupCost*>(&pairwise), static_cast<const GroupCost*>(&diameter)}) {
      const auto result = ModelSearch({cost}, {}).run();
      for (const auto& entry : result.layers[0].groupings) {
        EXPECT_TRUE(entry.proven);
        double best = 1e300;
        test::for_each_partition(7, [&](const Grouping& grouping) {
          const bool inside = grouping.cardinality() >= entry.cardinality;
          if (inside && grouping.groups() == entry.grouping.groups())
            best = std::min(best, grouping_cost(*cost, grouping));
        });
        EXPECT_NEAR(entry.cost, best, 1e-12 * best);
      }
      for (const auto& point : result.front) EXPECT_TRUE(point.proven) << point.kv_heads;
    }
  }
}

TEST(Strategy, LargerLayersHaveSafeBounds) {
  const auto costs = layers(2, 20);
  SearchOptions options;
  const auto result = ModelSearch(test::pointers(costs), options).run();
  options.strategy = Strategy::nsga2;
  const auto evolved = ModelSearch(test::pointers(costs), options).run();
  for (std::size_t l = 0; l < costs.size(); ++l) {
    for (const auto& entry : result.layers[l].groupings) {
      EXPECT_LE(entry.lower_bound, entry.cost);
      EXPECT_GE(entry.lower_bound, 0.97 * entry.cost);
      const auto* other = evolved.layers[l].find(entry.cardinality, entry.grouping.groups());
      EXPECT_LE(entry.lower_bound, other->cost);
      EXPECT_LE(entry.cost, other->cost * (1 + 1e-12));
    }
    EXPECT_EQ(result.layers[l].find(Cardinality::equal, 10)->source, "matching");
    EXPECT_TRUE(result.layers[l].find(Cardinality::equal, 10)->proven);
  }
  for (const auto& point : result.front) EXPECT_LE(point.lower_bound, point.cost);
}

TEST(Strategy, SameResultForAnyThreadCountAndAfterAnyInterruption) {
  const auto costs = layers(3, 18);
  for (const auto strategy : {Strategy::automatic, Strategy::local, Strategy::exact, Strategy::nsga2}) {
    SearchOptions options;
    options.strategy = strategy;
    options.warm_start = strategy == Strategy::nsga2;
    options.layer.nsga2 = {.population = 32, .generations = 10};
    options.model_nsga2 = options.layer.nsga2;
    options.threads = 1;
    if (strategy == Strategy::exact) options.layer.min_groups = 13;
    const auto whole = ModelSearch(test::pointers(costs), options).run();
    options.threads = 3;
    expect_same_proofs(whole, ModelSearch(test::pointers(costs), options).run());
    for (const int stop_after : {1, 3, 40}) {
      ModelSearch search(test::pointers(costs), options);
      std::atomic<int> reports = 0;
      (void)search.run([&](const ProgressEvent&) { return ++reports < stop_after; });
      const auto text = search.save().dump();
      ModelSearch resumed(test::pointers(costs), options);
      resumed.restore(nlohmann::json::parse(text));
      EXPECT_EQ(resumed.save().dump(), text);
      expect_same_proofs(whole, resumed.run());
    }
  }
}

TEST(Strategy, SavedBoundsAreChecked) {
  const auto costs = layers(1, 18);
  ModelSearch search(test::pointers(costs), {});
  (void)search.run();
  const auto good = search.save();
  const auto refused = [&](const char* pointer, const nlohmann::json& value) {
    auto state = good;
    state[nlohmann::json::json_pointer(pointer)] = value;
    ModelSearch other(test::pointers(costs), {});
    EXPECT_THROW(other.restore(state), Error) << pointer;
  };
  refused("/layers/0/bounds/0/bound", -1);
  refused("/layers/0/bounds/0/bound", "x");
  refused("/layers/0/bounds/0/groups", 19);
  refused("/layers/0/bounds/0/equal", 1);
  refused("/layers/0/bounds", 3);
  refused("/layers/0/found/0", {0, 1});
  refused("/layers/0/found/0/0", 256);
  refused("/layers/0/sources/0", "nsga2");
  refused("/layers/0/evaluations", -1);
  refused("/model", nlohmann::json::object());
}

TEST(Strategy, RefusesCostsItCannotUse) {
  const auto costs = layers(1, 20);
  const DiameterCost diameter(costs[0]);
  for (const auto strategy : {Strategy::local, Strategy::exact, Strategy::kdgqa}) {
    EXPECT_THROW(ModelSearch({&diameter}, with(strategy)), Error);
  }
  EXPECT_THROW(ModelSearch(test::pointers(costs), with(Strategy::kdgqa)), Error);  // no key norms
  SearchOptions options;
  options.strategy = Strategy::automatic;
  options.layer.nsga2 = {.population = 16, .generations = 2};
  EXPECT_EQ(ModelSearch({&diameter}, options).run().layers[0].find(Cardinality::arbitrary, 7)->source, "nsga2");
}

TEST(Strategy, WarmStartIsNeverWorseThanLocalSearch) {
  const auto costs = layers(1, 20);
  SearchOptions options;
  options.strategy = Strategy::local;
  const auto local = ModelSearch(test::pointers(costs), options).run();
  options.strategy = Strategy::nsga2;
  options.warm_start = true;
  options.layer.nsga2 = {.population = 64, .generations = 0};
  const auto warm = ModelSearch(test::pointers(costs), options).run();
  for (const auto& entry : local.layers[0].groupings) {
    EXPECT_LE(warm.layers[0].find(entry.cardinality, entry.grouping.groups())->cost, entry.cost * (1 + 1e-12));
  }
}

TEST(Strategy, KeptLayersKeepTheirHeads) {
  const auto costs = layers(3, 6);
  SearchOptions options;
  options.keep_layers = {0, 2};
  const auto result = ModelSearch(test::pointers(costs), options).run();
  EXPECT_EQ(result.front.back().kv_heads, 13);
  for (const auto& point : result.front) {
    EXPECT_EQ(point.layers[0].groups(), 6);
    EXPECT_EQ(point.layers[2].groups(), 6);
    EXPECT_TRUE(point.proven);
  }
  options.keep_layers = {3};
  EXPECT_THROW(ModelSearch(test::pointers(costs), options), Error);
}

TEST(Strategy, RangeHoldsForWholePlans) {
  const auto costs = layers(3, 6);
  SearchOptions options;
  options.layer.min_groups = 2;
  options.layer.max_groups = 4;
  options.keep_layers = {1};
  const auto result = ModelSearch(test::pointers(costs), options).run();
  EXPECT_EQ(result.front.front().kv_heads, 4 + 6 + 4);
  EXPECT_EQ(result.front.back().kv_heads, 2 + 6 + 2);
  for (const auto& point : result.front) EXPECT_TRUE(point.proven);
  options.limits = PlanLimits::uniform();
  EXPECT_THROW(ModelSearch(test::pointers(costs), options), Error);
  options.keep_layers = {};
  const auto uniform = ModelSearch(test::pointers(costs), options).run();
  ASSERT_EQ(uniform.front.size(), 2u);
  EXPECT_EQ(uniform.front[0].kv_heads, 9);
  EXPECT_EQ(uniform.front[1].kv_heads, 6);
}

TEST(Strategy, UniformFrontHasOneGroupCount) {
  const auto costs = layers(3, 6);
  SearchOptions options;
  options.limits = PlanLimits::uniform();
  const auto result = ModelSearch(test::pointers(costs), options).run();
  ASSERT_EQ(result.front.size(), 4u);
  for (const auto& point : result.front) {
    for (const auto& layer : point.layers) EXPECT_EQ(layer.groups(), point.layers[0].groups());
  }
}

TEST(Strategy, HeadsFitTheDevicesOfTensorParallelism) {
  const auto costs = layers(3, 10);
  SearchOptions options;
  options.limits.tensor_parallel = 4;  // 10 heads do not fit
  const auto result = ModelSearch(test::pointers(costs), options).run();
  for (const auto* points : {&result.front, &result.uniform}) {
    ASSERT_FALSE(points->empty());
    for (const auto& point : *points) {
      for (const auto& layer : point.layers) {
        const int groups = layer.groups();
        EXPECT_TRUE(groups == 4 || groups == 8 || ((groups == 1 || groups == 2) && layer.has_equal_groups())) << groups;
      }
    }
  }
  EXPECT_EQ(result.front.front().kv_heads, 3 * 8);
  for (const auto& point : result.front) EXPECT_LE(point.lower_bound, point.cost);
  EXPECT_EQ(result.front.back().kv_heads, 3);
  EXPECT_EQ(result.uniform.front().kv_heads, 3 * 2);  // equal groups: divisors of 10
  options.keep_layers = {1};
  EXPECT_THROW(ModelSearch(test::pointers(costs), options), Error);
  options.keep_layers = {};
  options.layer.min_groups = 9;
  EXPECT_THROW(ModelSearch(test::pointers(costs), options), Error);
  options.layer.min_groups = 1;
  options.limits.tensor_parallel = 0;
  EXPECT_THROW(ModelSearch(test::pointers(costs), options), Error);
}

TEST(LayerBudget, IsTheBestOfAllChoices) {
  Rng rng(92, 0);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<std::vector<LayerOption>> options(static_cast<std::size_t>(1 + rng.below(4)));
    for (auto& layer : options) {
      int groups = 0;
      for (int o = rng.between(1, 5); o > 0; --o) layer.push_back({groups += rng.between(1, 3), rng.below(100) / 10.0});
    }
    const auto best = best_by_budget(options);
    std::vector<double> expected(best.size(), std::numeric_limits<double>::infinity());
    std::vector<std::size_t> choice(options.size(), 0);
    for (bool more = true; more;) {
      std::size_t total = 0;
      double cost = 0;
      for (std::size_t l = 0; l < options.size(); ++l) {
        total += static_cast<std::size_t>(options[l][choice[l]].groups);
        cost += options[l][choice[l]].cost;
      }
      expected.at(total) = std::min(expected.at(total), cost);
      more = false;
      for (std::size_t l = 0; l < options.size() && !more; ++l) {
        more = ++choice[l] < options[l].size();
        if (!more) choice[l] = 0;
      }
    }
    for (std::size_t total = 0; total < best.size(); ++total) {
      ASSERT_EQ(best[total].genome.empty(), expected[total] > 1e300);
      if (expected[total] < 1e300) {
        EXPECT_NEAR(best[total].cost, expected[total], 1e-12);
      }
    }
  }
}

TEST(Kdgqa, LargerKeysGetLargerGroups) {
  // Orthogonal keys: the distance is the sum of the norms.
  const std::vector<double> norms{1, 1, 4, 4, 16, 16, 36, 36};
  std::vector<double> distances(64);
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t j = 0; j < 8; ++j) distances[i * 8 + j] = i == j ? 0 : norms[i] + norms[j];
  }
  const PairwiseCost cost(8, distances, distances, norms);
  // Pooled norms 0.707 * (1, 2, 4, 6), scaled 0, 0.2, 0.6, 1, of 8 heads: 0, 0.9, 2.7, 4.4.
  EXPECT_EQ(kdgqa_grouping(cost, 4).sizes(), (std::vector<int>{1, 1, 3, 3}));
  EXPECT_EQ(kdgqa_grouping(cost, 8), Grouping::identity(8));
  EXPECT_EQ(kdgqa_grouping(cost, 1).groups(), 1);
  const auto result = ModelSearch({&cost}, with(Strategy::kdgqa)).run();
  EXPECT_EQ(result.layers[0].kdgqa.size(), 4u);
  EXPECT_EQ(result.layers[0].find(Cardinality::arbitrary, 3)->source, "kdgqa");
}

}  // namespace
}  // namespace qcqa
