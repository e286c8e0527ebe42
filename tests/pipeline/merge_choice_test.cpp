#include "qcqa/pipeline/merge_choice.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/step_budget.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// From far too short to more than enough, in seconds.
std::vector<double> limits() {
  std::vector<double> all(52, 1);
  for (std::size_t i = 1; i < all.size(); ++i) all[i] = 1.25 * all[i - 1];
  return all;
}

class MergeChoiceTest : public ::testing::Test {
 protected:
  void SetUp() override { use_model(2); }

  void use_model(int layers) {
    const std::filesystem::path path = folder_ / ("model-" + std::to_string(layers));
    write_pico_model(path, {.layers = layers, .query_heads = 4, .kv_heads = 4, .head_dim = 8, .mlp_size = 48});
    model_.emplace(Model::open(path));
  }

  [[nodiscard]] MergeChoice within(double seconds, ComparePlans plans = ComparePlans::no,
                                   MeasureLayers layers = MeasureLayers::no) {
    merge_.time_limit = seconds;
    return choose_merge(*model_, kSpeed, merge_, calibration_, {}, plans, layers);
  }

  [[nodiscard]] double seconds_of(const MergeChoice& choice) const {
    const MergeOptions options{.kind = choice.kind, .reconstruct = choice.reconstruct, .memory = merge_.memory};
    return estimate_merge_seconds(*model_, kSpeed, options, choice.calibration.tokens, choice.calibration.tokens);
  }

  static constexpr ModelSpeed kSpeed = {.layers = 1e-4, .head = 1e-5};
  TemporaryFolder folder_;
  std::optional<Model> model_;
  MergeSettings merge_;
  CalibrationSettings calibration_{.sources = {kSelf}};
};

TEST_F(MergeChoiceTest, MoreTimeNeverGivesLess) {
  int rank = 0;
  std::set<std::string> kinds;
  for (const double seconds : limits()) {
    SCOPED_TRACE(seconds);
    const MergeChoice choice = within(seconds);
    EXPECT_GE(static_cast<int>(choice.kind), rank);
    rank = static_cast<int>(choice.kind);
    kinds.insert(std::string(merge_kind_name(choice.kind)));
    if (choice.kind == MergeKind::aligned) {
      EXPECT_FALSE(choice.calibration.given());
    } else {
      EXPECT_LE(seconds_of(choice), seconds);
    }
  }
  EXPECT_EQ(kinds, (std::set<std::string>{"aligned", "subspace", "refit", "reconstruct"}));
  EXPECT_EQ(within(1e5).reconstruct.steps, merge_.reconstruct.steps);
  EXPECT_EQ(within(1e5).calibration.tokens, calibration_.tokens);
}

TEST_F(MergeChoiceTest, StepsFillTheTime) {
  using Steps = int ReconstructOptions::*;
  /// Of all limits, how many have as many of these steps as there is time for, and none of the others.
  const auto filled = [&](Steps steps, Steps others, const char* words) {
    int seen = 0;
    for (const double seconds : limits()) {
      const MergeChoice choice = within(seconds);
      if (choice.kind != MergeKind::reconstruct || choice.reconstruct.*others > 0) continue;
      SCOPED_TRACE(seconds);
      ++seen;
      const int taken = choice.reconstruct.*steps;
      const double epochs =
          static_cast<double>(taken * choice.reconstruct.step_tokens) / static_cast<double>(choice.calibration.tokens);
      EXPECT_GE(epochs, 2);
      EXPECT_LE(epochs, 16);
      EXPECT_NE(choice.reason.find(std::to_string(taken) + words), std::string::npos) << choice.reason;
      MergeChoice more = choice;
      ++(more.reconstruct.*steps);
      EXPECT_TRUE(epochs > 15.9 || seconds_of(more) > seconds);
    }
    return seen;
  };
  const auto by_layer = [&] {
    return filled(&ReconstructOptions::steps, &ReconstructOptions::distill_steps, " steps per layer");
  };
  const auto together = [&] {
    return filled(&ReconstructOptions::distill_steps, &ReconstructOptions::steps, " steps of all layers together");
  };
  EXPECT_GT(by_layer(), 3);
  EXPECT_GT(together(), 1);
  use_model(13);  // too deep
  EXPECT_EQ(by_layer(), 0);
  EXPECT_GT(together(), 3);
}

TEST_F(MergeChoiceTest, NothingIsDistilledThatTheUserDoesNotWantOrThatDoesNotFit) {
  const auto distils = [&] {
    for (const double seconds : limits()) {
      const MergeChoice choice = within(seconds);
      if (choice.kind == MergeKind::reconstruct && choice.reconstruct.steps == 0) return true;
    }
    return false;
  };
  EXPECT_TRUE(distils());
  merge_.memory = 1000;
  EXPECT_FALSE(distils());
  merge_.memory = MergeSettings().memory;
  merge_.reconstruct.distill_steps = 0;
  EXPECT_FALSE(distils());
}

TEST_F(MergeChoiceTest, LayersAreMeasuredWithinTheTime) {
  const double to_measure = estimate_measuring_seconds(*model_, kSpeed, {});
  EXPECT_GT(to_measure, 0);
  int measured = 0;
  for (const double seconds : limits()) {
    SCOPED_TRACE(seconds);
    const MergeChoice choice = within(seconds, ComparePlans::no, MeasureLayers::yes);
    if (choice.kind == MergeKind::aligned) continue;
    ++measured;
    EXPECT_LE(choice.seconds, seconds);
    EXPECT_NEAR(choice.seconds, seconds_of(choice) + to_measure, 1e-6 * seconds);
    EXPECT_NE(choice.reason.find("with measured layers"), std::string::npos) << choice.reason;
  }
  EXPECT_GT(measured, 5);
}

TEST_F(MergeChoiceTest, PlansAreComparedWithinTheTimeAndNeverInThePlaceOfTheMerge) {
  int compared = 0, left_out = 0;
  for (const double seconds : limits()) {
    SCOPED_TRACE(seconds);
    const MergeChoice alone = within(seconds);
    const MergeChoice choice = within(seconds, ComparePlans::maybe);
    EXPECT_FALSE(alone.compares_plans);
    EXPECT_EQ(choice.kind, alone.kind);
    EXPECT_EQ(choice.calibration.tokens, alone.calibration.tokens);
    if (choice.reconstruct.distill_steps > 0) {
      EXPECT_EQ(choice.reconstruct.steps, alone.reconstruct.steps);
    }
    EXPECT_LE(choice.reconstruct.steps, alone.reconstruct.steps);
    EXPECT_LE(choice.reconstruct.distill_steps, alone.reconstruct.distill_steps);
    EXPECT_EQ(choice.reason.find("with a comparison of two plans") != std::string::npos,
              choice.compares_plans && choice.kind != MergeKind::aligned)
        << choice.reason;
    (choice.compares_plans ? compared : left_out) += 1;
    if (!choice.compares_plans || choice.kind == MergeKind::aligned) continue;
    EXPECT_LE(choice.seconds, seconds);
    EXPECT_GT(choice.seconds, seconds_of(choice));
  }
  EXPECT_GT(compared, 5);
  EXPECT_GT(left_out, 2);
}

TEST(DurationText, SaysAFewMinutesAsTheyWereGiven) {
  for (const auto& [seconds, text] : {std::pair(0.2, "1 s"), std::pair(90.0, "90 s"), std::pair(150.0, "150 s"),
                                      std::pair(300.0, "5 min"), std::pair(5400.0, "1.5 h")}) {
    EXPECT_EQ(duration_text(seconds), text);
  }
}

}  // namespace
}  // namespace qcqa
