// Options, threads, interruption and saved states.
#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "qcqa/search/model_search.hpp"
#include "qcqa/support/error.hpp"
#include "search/search_instances.hpp"

namespace qcqa {
namespace {

SearchOptions small_options(int threads = 2) {
  SearchOptions options;
  options.strategy = Strategy::nsga2;
  options.layer.nsga2 = {.population = 16, .generations = 12};
  options.model_nsga2 = {.population = 16, .generations = 12};
  options.layer.seed = 99;
  options.threads = threads;
  return options;
}

class ModelSearchTest : public testing::Test {
 protected:
  ModelSearchTest() {
    Rng rng(31, 0);
    for (int l = 0; l < 4; ++l) costs_.push_back(test::random_cost(rng, 12));
  }
  [[nodiscard]] ModelSearch make(const SearchOptions& options = small_options()) const {
    return {test::pointers(costs_), options};
  }

  std::vector<PairwiseCost> costs_;
};
using ModelSearchResume = ModelSearchTest;

void expect_same(const SearchResult& a, const SearchResult& b) {
  EXPECT_EQ(a.evaluations, b.evaluations);
  ASSERT_EQ(a.layers.size(), b.layers.size());
  for (std::size_t l = 0; l < a.layers.size(); ++l) {
    ASSERT_EQ(a.layers[l].groupings.size(), b.layers[l].groupings.size());
    EXPECT_EQ(a.layers[l].evaluations, b.layers[l].evaluations);
    for (std::size_t g = 0; g < a.layers[l].groupings.size(); ++g) {
      const auto &x = a.layers[l].groupings[g], &y = b.layers[l].groupings[g];
      EXPECT_EQ(x.grouping, y.grouping);
      EXPECT_EQ(x.cost, y.cost);
      EXPECT_EQ(x.source, y.source);
    }
  }
  const auto same_points = [](const std::vector<ModelPoint>& x, const std::vector<ModelPoint>& y) {
    ASSERT_EQ(x.size(), y.size());
    for (std::size_t p = 0; p < x.size(); ++p) {
      EXPECT_EQ(x[p].cost, y[p].cost);
      EXPECT_EQ(x[p].layers, y[p].layers);
    }
  };
  same_points(a.front, b.front);
  same_points(a.uniform, b.uniform);
}

TEST_F(ModelSearchTest, SameSeedSameResultForAnyThreadCount) {
  const auto one = make(small_options(1)).run();
  expect_same(one, make(small_options(2)).run());
  expect_same(one, make(small_options(5)).run());
}

TEST_F(ModelSearchTest, AnotherSeedSearchesElsewhere) {
  auto options = small_options();
  auto a = make(options);
  options.layer.seed = 100;
  auto b = make(options);
  (void)a.run();
  (void)b.run();
  EXPECT_NE(a.save()["layers"], b.save()["layers"]);
}

TEST_F(ModelSearchTest, ReportsGenerationsOneByOne) {
  std::vector<ProgressEvent> events;
  (void)make().run([&](const ProgressEvent& event) {
    events.push_back(event);
    return true;
  });
  ASSERT_EQ(events.size(), 4u * 2 * 12 + 12);
  for (std::size_t i = 0; i < events.size(); ++i) {
    const bool layers = i < 96;
    EXPECT_EQ(events[i].phase, layers ? "layers" : "model");
    EXPECT_EQ(events[i].done, static_cast<std::int64_t>(layers ? i + 1 : i - 95));
    EXPECT_EQ(events[i].total, layers ? 96 : 12);
  }
}

TEST_F(ModelSearchTest, AnExceptionOfTheCallbackComesOut) {
  auto search = make();
  EXPECT_THROW((void)search.run([](const ProgressEvent&) -> bool { throw std::runtime_error("no"); }),
               std::runtime_error);
  expect_same(search.run(), make().run());  // and leaves whole generations behind
}

TEST_F(ModelSearchTest, NoGenerationsGiveTheInitialPopulation) {
  auto options = small_options();
  options.layer.nsga2.generations = options.model_nsga2.generations = 0;
  const auto result = make(options).run();
  EXPECT_EQ(result.stop, StopReason::completed);
  EXPECT_EQ(result.front.front().kv_heads, 48);
  EXPECT_EQ(result.front.back().kv_heads, 4);
}

TEST_F(ModelSearchTest, BaselinesAloneNeedNoSearch) {
  auto options = small_options();
  options.arbitrary = options.equal = false;
  const auto result = make(options).run();
  EXPECT_EQ(result.layers[0].groupings.size(), 6u);
  EXPECT_EQ(result.front.front().cardinality, Cardinality::contiguous);
  EXPECT_EQ(result.uniform.size(), 6u);
}

TEST_F(ModelSearchTest, NamesTheOptionThatMakesNoSense) {
  const auto refused = [&](const std::string& name, auto change) {
    auto options = small_options();
    change(options);
    try {
      (void)make(options);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::invalid_argument);
      EXPECT_EQ(std::string(error.what()).rfind(name, 0), 0u) << error.what();
    }
  };
  refused("layer population", [](SearchOptions& o) { o.layer.nsga2.population = 5; });
  refused("layer population", [](SearchOptions& o) { o.layer.nsga2.population = 2; });
  refused("model population", [](SearchOptions& o) { o.model_nsga2.population = 1 << 30; });
  refused("layer generations", [](SearchOptions& o) { o.layer.nsga2.generations = -1; });
  refused("model crossover probability", [](SearchOptions& o) { o.model_nsga2.crossover_probability = 1.5; });
  refused("layer mutation probability",
          [](SearchOptions& o) { o.layer.nsga2.mutation_probability = std::stod("nan"); });
  refused("min groups", [](SearchOptions& o) { o.layer.min_groups = 0; });
  refused("max groups", [](SearchOptions& o) { o.layer.min_groups = 4, o.layer.max_groups = 3; });
  refused("threads", [](SearchOptions& o) { o.threads = -1; });
  refused("binary groups", [](SearchOptions& o) { o.stage2 = Stage2::binary, o.binary_groups = 13; });
  refused("binary groups",
          [](SearchOptions& o) { o.stage2 = Stage2::binary, o.arbitrary = false, o.binary_groups = 5; });
  EXPECT_THROW(ModelSearch({}, {}), Error);
  EXPECT_THROW(ModelSearch({nullptr}, {}), Error);
}

TEST_F(ModelSearchResume, ContinuesAsIfNeverInterrupted) {
  const auto whole = make().run();
  for (const int stop_after : {1, 7, 40, 95, 96, 97, 107, 108}) {
    for (const bool through_file : {false, true}) {
      auto search = make();
      std::atomic<int> reports = 0;
      auto result = search.run([&](const ProgressEvent&) { return ++reports < stop_after; });
      EXPECT_EQ(result.stop, stop_after < 108 ? StopReason::interrupted : StopReason::completed);
      if (through_file) {
        const auto text = search.save().dump();
        search = make(small_options(1));
        search.restore(nlohmann::json::parse(text));
        EXPECT_EQ(search.save().dump(), text);
      }
      result = search.run();
      EXPECT_EQ(result.stop, StopReason::completed);
      expect_same(whole, result);
    }
  }
}

TEST_F(ModelSearchResume, LosesAtMostTheGenerationsUnderWay) {
  auto search = make();
  std::atomic<int> reports = 0;
  (void)search.run([&](const ProgressEvent&) { return ++reports < 50; });
  int generations = 0;
  const auto state = search.save();
  for (const auto& task : state["layers"]) generations += task.is_null() ? 0 : task["generation"].get<int>();
  EXPECT_GE(generations, 50);
}

TEST_F(ModelSearchResume, RefusesTheStateOfAnotherSearch) {
  auto search = make();
  (void)search.run();
  const auto state = search.save();

  auto other_options = small_options();
  other_options.layer.seed = 1;
  EXPECT_THROW(make(other_options).restore(state), Error);

  Rng rng(32, 0);
  costs_[3] = test::random_cost(rng, 12);
  EXPECT_THROW(make().restore(state), Error);
}

void expect_corrupt(ModelSearch search, const nlohmann::json& state, const std::string& what) {
  try {
    search.restore(state);
    ADD_FAILURE() << what;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::corrupt);
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
  }
}

TEST_F(ModelSearchResume, RefusesEveryBrokenField) {
  auto search = make();
  (void)search.run();
  const auto good = search.save();
  const auto broken = [&](const std::string& pointer, const nlohmann::json& value, const std::string& what) {
    auto state = good;
    state[nlohmann::json::json_pointer(pointer)] = value;
    expect_corrupt(make(), state, what);
  };
  expect_corrupt(make(), nlohmann::json::array(), "must be an object");
  expect_corrupt(make(), nlohmann::json::object(), "format");
  broken("/version", 99, "version");
  broken("/layers", nlohmann::json::array(), "layers");
  broken("/layers/0", 3, "layers[0]");
  broken("/layers/1", nullptr, "model");
  broken("/layers/0/generation", 13, "generation");
  broken("/layers/0/generation", -1, "generation");
  broken("/layers/0/generation", 1.5, "generation");
  broken("/layers/0/evaluations", "many", "evaluations");
  broken("/layers/0/evaluations", UINT64_MAX, "evaluations");
  broken("/layers/0/rng", {0, 0, 0, 0}, "rng");
  broken("/layers/0/rng", {1, 2, 3}, "rng");
  broken("/layers/0/rng/0", -1, "rng");
  broken("/layers/0/population", nlohmann::json::array(), "population");
  broken("/layers/0/population/1", good["layers"][0]["population"][0], "population");
  broken("/layers/0/population/0/0", 1, "population");
  broken("/layers/0/population/0/3", 300, "population");
  broken("/layers/0/population/0", {0, 0}, "population");
  broken("/layers/1/population/0", {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, "population");
  broken("/layers/0/archive/0", "x", "archive");
  broken("/model/population/0/0", 12, "population");
  broken("/model/archive/0", {0, 0, 0}, "archive");
}

TEST_F(ModelSearchResume, SurvivesAnyFlippedByte) {
  auto search = make();
  (void)search.run();
  const auto good = search.save().dump();
  Rng rng(33, 0);
  for (int i = 0; i < 3000; ++i) {
    auto text = good;
    const auto position = static_cast<std::size_t>(rng.below(static_cast<int>(text.size())));
    text[position] = static_cast<char>(rng.chance(0.5) ? '0' + rng.below(10) : rng.below(256));
    const auto state = nlohmann::json::parse(text, nullptr, false);
    if (state.is_discarded()) continue;
    try {
      search.restore(state);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::corrupt);
    }
  }
  (void)search.run();
}

}  // namespace
}  // namespace qcqa
