// A search whose layers are measured between the stages, interrupted anywhere.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "qcqa/search/model_search.hpp"
#include "qcqa/support/error.hpp"
#include "search/search_instances.hpp"

namespace qcqa {
namespace {

constexpr int kLayers = 3;

/// Costs that have little to do with those that are searched by, and are not sorted by group count either.
double measured_cost(int layer, const Grouping& grouping) {
  std::uint64_t hash = static_cast<std::uint64_t>(layer) + 1;
  for (const auto label : grouping.labels()) hash = splitmix64(hash) ^ label;
  return static_cast<double>(splitmix64(hash) % 1000) / 7 * (10 - grouping.groups());
}

/// Counts what is done and stops at one step of it, be it a report or a question.
class Steps {
 public:
  explicit Steps(int most = INT32_MAX) : most_(most) {}

  [[nodiscard]] ProgressFn progress() {
    return [this](const ProgressEvent&) { return ++done_ < most_; };
  }
  /// Is interrupted before it has an answer.
  [[nodiscard]] GroupingCosts measure() {
    return [this](int layer, std::span<const Grouping> groupings) {
      if (++done_ >= most_) throw Error(ErrorKind::interrupted, "measure", "interrupted");
      std::vector<double> costs;
      for (const Grouping& grouping : groupings) costs.push_back(measured_cost(layer, grouping));
      measured_.push_back(layer);
      return costs;
    };
  }
  [[nodiscard]] int done() const { return done_; }
  [[nodiscard]] const std::vector<int>& measured() const { return measured_; }

 private:
  int most_;
  int done_ = 0;
  std::vector<int> measured_;
};

class MeasuredSearch : public ::testing::TestWithParam<Strategy> {
 protected:
  MeasuredSearch() {
    Rng rng(41, 0);
    for (int l = 0; l < kLayers; ++l) costs_.push_back(test::random_cost(rng, 8));
  }
  [[nodiscard]] ModelSearch make(int threads = 1) const {
    SearchOptions options;
    options.strategy = GetParam();
    options.layer.nsga2 = {.population = 12, .generations = 4};
    options.model_nsga2 = {.population = 12, .generations = 6};
    options.layer.seed = 7;
    options.threads = threads;
    return {test::pointers(costs_), options};
  }
  [[nodiscard]] SearchResult whole() const {
    Steps steps;
    return make().run(steps.progress(), steps.measure());
  }

  std::vector<PairwiseCost> costs_;
};

void expect_identical(const std::vector<LayerGrouping>& a, const std::vector<LayerGrouping>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].grouping, b[i].grouping);
    EXPECT_EQ(a[i].cardinality, b[i].cardinality);
    EXPECT_EQ(a[i].cost, b[i].cost);
    EXPECT_EQ(a[i].parts.k, b[i].parts.k);
    EXPECT_EQ(a[i].parts.v, b[i].parts.v);
    EXPECT_EQ(a[i].source, b[i].source);
    EXPECT_EQ(a[i].lower_bound, b[i].lower_bound);
    EXPECT_EQ(a[i].proven, b[i].proven);
  }
}

void expect_identical(const std::vector<ModelPoint>& a, const std::vector<ModelPoint>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].kv_heads, b[i].kv_heads);
    EXPECT_EQ(a[i].cost, b[i].cost);
    EXPECT_EQ(a[i].cardinality, b[i].cardinality);
    EXPECT_EQ(a[i].layers, b[i].layers);
    EXPECT_EQ(a[i].lower_bound, b[i].lower_bound);
    EXPECT_EQ(a[i].proven, b[i].proven);
  }
}

void expect_identical(const SearchResult& a, const SearchResult& b) {
  EXPECT_EQ(a.stop, b.stop);
  EXPECT_EQ(a.evaluations, b.evaluations);
  ASSERT_EQ(a.layers.size(), b.layers.size());
  for (std::size_t l = 0; l < a.layers.size(); ++l) {
    EXPECT_EQ(a.layers[l].layer, b.layers[l].layer);
    EXPECT_EQ(a.layers[l].heads, b.layers[l].heads);
    EXPECT_EQ(a.layers[l].one_group_cost, b.layers[l].one_group_cost);
    EXPECT_EQ(a.layers[l].evaluations, b.layers[l].evaluations);
    expect_identical(a.layers[l].groupings, b.layers[l].groupings);
    expect_identical(a.layers[l].kdgqa, b.layers[l].kdgqa);
  }
  expect_identical(a.front, b.front);
  expect_identical(a.uniform, b.uniform);
}

TEST_P(MeasuredSearch, Stage2ChoosesByTheMeasuredCosts) {
  const SearchResult result = whole();
  for (const LayerFront& layer : result.layers) {
    for (const LayerGrouping& entry : layer.groupings) {
      const bool is_whole = entry.grouping.groups() == layer.heads;
      EXPECT_EQ(entry.cost, is_whole ? 0 : measured_cost(layer.layer, entry.grouping));
      EXPECT_EQ(entry.lower_bound, 0);
      EXPECT_NEAR(entry.parts.k + entry.parts.v, entry.cost, 1e-12 * entry.cost);
    }
    EXPECT_EQ(layer.one_group_cost, measured_cost(layer.layer, Grouping::contiguous(layer.heads, 1)));
  }
  ASSERT_FALSE(result.front.empty());
  for (const ModelPoint& point : result.front) {
    double cost = 0;
    for (int l = 0; l < kLayers; ++l) {
      const Grouping& grouping = point.layers[static_cast<std::size_t>(l)];
      if (grouping.groups() < grouping.heads()) cost += measured_cost(l, grouping);
    }
    EXPECT_NEAR(point.cost, cost, 1e-12 * cost);
  }
}

TEST_P(MeasuredSearch, AWiderClassIsNoWorse) {
  for (const LayerFront& layer : whole().layers) {
    for (int groups = 1; groups <= layer.heads; ++groups) {
      const LayerGrouping* any = layer.find(Cardinality::arbitrary, groups);
      const LayerGrouping* equal = layer.find(Cardinality::equal, groups);
      const LayerGrouping* contiguous = layer.find(Cardinality::contiguous, groups);
      ASSERT_NE(any, nullptr);
      if (8 % groups != 0) continue;
      EXPECT_LE(any->cost, equal->cost);
      EXPECT_LE(equal->cost, contiguous->cost);
    }
  }
}

TEST_P(MeasuredSearch, EveryLayerIsAskedAboutOnceAndEveryGroupingOfItOnce) {
  std::vector<int> layers;
  (void)make().run({}, [&](int layer, std::span<const Grouping> groupings) {
    layers.push_back(layer);
    std::vector<Grouping> sorted(groupings.begin(), groupings.end());
    std::ranges::sort(sorted);
    EXPECT_EQ(std::ranges::adjacent_find(sorted), sorted.end());
    EXPECT_TRUE(std::ranges::binary_search(sorted, Grouping::contiguous(8, 1)));
    EXPECT_FALSE(std::ranges::binary_search(sorted, Grouping::identity(8)));
    return std::vector<double>(groupings.size(), 1.0);
  });
  EXPECT_EQ(layers, (std::vector<int>{0, 1, 2}));
}

TEST_P(MeasuredSearch, AnyInterruptionGoesOnAsIfThereWasNone) {
  const SearchResult expected = whole();
  Steps all;
  (void)make().run(all.progress(), all.measure());
  ASSERT_GT(all.done(), kLayers);
  for (int stop = 1; stop < all.done(); ++stop) {
    SCOPED_TRACE("interrupted at step " + std::to_string(stop) + " of " + std::to_string(all.done()));
    auto search = make();
    Steps first(stop), second;
    EXPECT_EQ(search.run(first.progress(), first.measure()).stop, StopReason::interrupted);
    const std::string text = search.save().dump();
    auto restored = make();
    restored.restore(nlohmann::json::parse(text));
    EXPECT_EQ(restored.save().dump(), text);
    expect_identical(expected, restored.run(second.progress(), second.measure()));
    // Neither is anything measured twice.
    EXPECT_EQ(first.measured().size() + second.measured().size(), kLayers);
  }
}

TEST_P(MeasuredSearch, InterruptedAtEveryStepItStillComesToItsEnd) {
  const SearchResult expected = whole();
  nlohmann::json state;
  for (int run = 0; run < 1000; ++run) {
    auto search = make(2);
    if (!state.is_null()) search.restore(state);
    Steps steps(run + 2);  // enough for a whole layer, some time
    const SearchResult result = search.run(steps.progress(), steps.measure());
    if (result.stop == StopReason::completed) return expect_identical(expected, result);
    state = nlohmann::json::parse(search.save().dump());
  }
  FAIL() << "never came to its end";
}

TEST_P(MeasuredSearch, InterruptedWhileMeasuringItHasStage1) {
  auto search = make();
  const SearchResult result = search.run({}, [](int, std::span<const Grouping>) -> std::vector<double> {
    throw Error(ErrorKind::interrupted, "measure", "interrupted");
  });
  EXPECT_EQ(result.stop, StopReason::interrupted);
  EXPECT_TRUE(result.front.empty());
  auto plain = make();
  const SearchResult unmeasured = plain.run();
  ASSERT_EQ(result.layers.size(), unmeasured.layers.size());
  for (std::size_t l = 0; l < kLayers; ++l) {
    expect_identical(result.layers[l].groupings, unmeasured.layers[l].groupings);
  }
}

TEST_P(MeasuredSearch, OtherErrorsOfMeasuringComeOut) {
  auto search = make();
  EXPECT_THROW((void)search.run({},
                                [](int, std::span<const Grouping>) -> std::vector<double> {
                                  throw Error(ErrorKind::io, "measure", "cannot read");
                                }),
               Error);
  Steps steps;
  expect_identical(whole(), search.run(steps.progress(), steps.measure()));  // and lose nothing
}

TEST_P(MeasuredSearch, CostsThatAreNoneAreRefused) {
  for (const double bad : {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_THROW(
        (void)make().run(
            {}, [&](int, std::span<const Grouping> groupings) { return std::vector<double>(groupings.size(), bad); }),
        Error);
  }
  EXPECT_THROW((void)make().run({}, [](int, std::span<const Grouping>) { return std::vector<double>(); }), Error);
}

TEST_P(MeasuredSearch, MeasuringMaySave) {
  auto search = make();
  nlohmann::json state;
  Steps steps;
  const GroupingCosts measure = steps.measure();
  const SearchResult result = search.run({}, [&](int layer, std::span<const Grouping> groupings) {
    if (layer == 2) state = search.save();
    return measure(layer, groupings);
  });
  auto restored = make();
  restored.restore(state);
  Steps rest;
  expect_identical(result, restored.run({}, rest.measure()));
  EXPECT_EQ(rest.measured(), std::vector<int>{2});
}

TEST_P(MeasuredSearch, GoesOnMeasuringOrNotAsItBegan) {
  Steps some(0);
  auto measured = make();
  (void)measured.run({}, some.measure());
  EXPECT_THROW((void)measured.run(), Error);
  auto plain = make();
  (void)plain.run();
  Steps steps;
  EXPECT_THROW((void)plain.run({}, steps.measure()), Error);
}

TEST_P(MeasuredSearch, RefusesBrokenMeasurements) {
  Steps steps;
  auto search = make();
  (void)search.run({}, steps.measure());
  const nlohmann::json good = search.save();
  ASSERT_EQ(good["measured"].size(), kLayers);
  const auto broken = [&](const char* pointer, const nlohmann::json& value) {
    auto state = good;
    state[nlohmann::json::json_pointer(pointer)] = value;
    try {
      make().restore(state);
      ADD_FAILURE() << pointer << ' ' << value;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt);
      EXPECT_TRUE(std::string(error.what()).starts_with("search state: measured")) << error.what();
    }
  };
  broken("/measured", 1);
  broken("/measured", nlohmann::json::object());
  broken("/measured/3", nlohmann::json::array());
  broken("/measured/0", nullptr);
  broken("/measured/1", nlohmann::json::array());
  broken("/measured/1/0", "1");
  broken("/measured/1/0", nullptr);
  broken("/measured/1/0", -1e-9);
  auto state = good;
  state["layers"][0] = nullptr;
  state["model"] = nullptr;
  EXPECT_THROW(make().restore(state), Error);
  state = good;
  state.erase("measured");
  EXPECT_THROW(make().restore(state), Error);
}

INSTANTIATE_TEST_SUITE_P(Strategies, MeasuredSearch, ::testing::Values(Strategy::nsga2, Strategy::automatic),
                         [](const auto& strategy) {
                           return strategy.param == Strategy::nsga2 ? "Nsga2" : "Automatic";
                         });

}  // namespace
}  // namespace qcqa
