#include "qcqa/report/report.hpp"

#include <gtest/gtest.h>

#include <random>

#include "qcqa/fitness/pairwise_cost.hpp"
#include "qcqa/report/sections.hpp"
#include "qcqa/search/plan_choice.hpp"
#include "qcqa/support/human_bytes.hpp"
#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// A real search of two random layers of four heads.
Report small_report() {
  std::mt19937_64 random(5);
  const auto cost = [&random] {
    std::vector<double> distances(16);
    for (int i = 0; i < 4; ++i) {
      for (int j = i + 1; j < 4; ++j)
        distances[i * 4 + j] = distances[j * 4 + i] = 1 + static_cast<double>(random() % 1000) / 100;
    }
    return PairwiseCost(4, distances, distances);
  };
  const PairwiseCost a = cost();
  const PairwiseCost b = cost();
  SearchOptions options;
  options.layer.nsga2 = options.model_nsga2 = {.population = 16, .generations = 10};
  Report report;
  report.search = ModelSearch({&a, &b}, options).run();
  report.model = {"some/model", "0123456789abcdef", "llama", "BF16", 2, 8, 4, 16, 128, 2 * 4 * 2 * 16 * 2};
  report.options = {{"seed", 0}};
  report.timings = {{"search", 0.25}};
  derive_comparisons(report);
  return report;
}

nlohmann::json document() { return to_json(small_report()); }

void expect_refused(const nlohmann::json& changed, std::string_view part) {
  expect_error(ErrorKind::corrupt, part, [&] { (void)report_from_json(changed, "r.json"); });
}

TEST(Report, ComesBackFromJsonUnchanged) {
  Report report = small_report();
  report.plan = plan_for_groups(report.search, 2, Cardinality::equal);
  report.merge =
      MergeSummary{.kind = MergeKind::reconstruct,
                   .calibration_tokens = 512,
                   .keys_pooled = true,
                   .layers = {{0, 0.5, 0.25, 0.125, 40}, {1, 0.75, 0.5, 0.25, 0}},
                   .distillation = Distillation{.before = 0.5, .after = 0.25, .steps = 20},
                   .seconds = 1.5,
                   .ladder = {.rungs = {{"original", 3}, {"mean", 72}, {"reconstruct", 3.25}}, .tokens = 99}};
  const auto json = to_json(report);
  EXPECT_EQ(to_json(report_from_json(json, "r.json")), json);
}

TEST(Report, BaselinesCoverEveryDivisorAndTheEnds) {
  const Report report = small_report();
  ASSERT_EQ(report.baselines.size(), 3U);
  EXPECT_EQ(report.baselines[0].name, "mha");
  EXPECT_EQ(report.baselines[0].cost, 0.0);
  EXPECT_EQ(report.baselines[1].name, "gqa");
  EXPECT_EQ(report.baselines[1].kv_fraction, 0.5);
  EXPECT_EQ(report.baselines[2].name, "mqa");
  EXPECT_NEAR(report.baselines[2].cost, report.hypervolume_reference_cost, 1e-12);
}

TEST(Report, FrontFallsInSizeAndHoldsNoDominatedPoint) {
  const auto json = document();
  for (std::size_t i = 1; i < json["front"].size(); ++i) {
    EXPECT_LT(json["front"][i]["kv_heads"], json["front"][i - 1]["kv_heads"]);
    EXPECT_GT(json["front"][i]["cost"], json["front"][i - 1]["cost"]);
  }
}

TEST(Report, BytesPerTokenFollowTheHeads) {
  const auto json = document();
  for (const auto& point : json["front"])
    EXPECT_EQ(point["kv_bytes_per_token"], point["kv_heads"].get<int>() * 2 * 16 * 2);
}

TEST(ReportReader, RefusesAnotherSchemaVersion) {
  auto json = document();
  json["schema_version"] = 2;
  expect_error(ErrorKind::unsupported, "schema_version must be 1; found 2",
               [&] { (void)report_from_json(json, "r.json"); });
}

TEST(ReportReader, NamesTheMissingKeyByItsPath) {
  auto json = document();
  json["layers"][1]["groupings"][0].erase("cost");
  expect_refused(json, "r.json: layers[1].groupings[0]: must have a member \"cost\"");
}

TEST(ReportReader, RefusesLabelsOfAnotherLength) {
  auto json = document();
  json["front"][1]["labels"][0].push_back(0);
  expect_refused(json, "one entry per KV head, 4; found 5");
}

TEST(ReportReader, RefusesLabelsOutOfRange) {
  auto json = document();
  json["front"][1]["labels"][0][2] = 4;
  expect_refused(json, "front[1].labels[0][2]: must be an integer from 0 to 3; found 4");
}

TEST(ReportReader, RefusesGroupCountsThatDisagreeWithLabels) {
  auto json = document();
  json["layers"][0]["groupings"][0]["groups"] = 1;
  expect_refused(json, "must be the number of different labels");
}

TEST(ReportReader, RefusesUnequalGroupsCalledEqual) {
  auto json = document();
  for (auto& grouping : json["layers"][0]["groupings"]) {
    if (grouping["cardinality"] == "equal" && grouping["groups"] == 2) grouping["labels"] = {0, 1, 1, 1};
  }
  expect_refused(json, "must be of one size");
}

TEST(ReportReader, RefusesNegativeCosts) {
  auto json = document();
  json["baselines"][1]["cost"] = -1;
  expect_refused(json, "baselines[1].cost: must be a number >= 0");
}

TEST(ReportReader, RefusesKvHeadsThatAreNotTheSum) {
  auto json = document();
  json["front"][0]["kv_heads"] = 7;
  expect_refused(json, "must be the sum of the group counts");
}

TEST(ReportReader, RefusesBoundsAboveTheCost) {
  auto json = document();
  json["front"][1]["lower_bound"] = json["front"][1]["cost"].get<double>() + 1;
  expect_refused(json, "front[1].lower_bound: must not exceed the cost");
  json = document();
  json["layers"][0]["groupings"][1]["proven"] = 1;
  expect_refused(json, "layers[0].groupings[1].proven: must be true or false");
}

TEST(ReportReader, RefusesHugeNumbers) {
  auto json = document();
  json["model"]["layers"] = 18446744073709551615ULL;
  expect_refused(json, "model.layers: must be an integer");
}

TEST(ReportReader, RefusesWhatIsNoJson) {
  const TemporaryFolder folder;
  const auto file = folder.write("r.json", "{\"schema_version\": 1,");
  expect_error(ErrorKind::corrupt, "must be valid JSON", [&] { (void)read_report(file); });
}

TEST(ReportReader, RefusesWhatIsNoObject) { expect_refused(nlohmann::json::array(), "r.json: must be an object"); }

TEST(ReportReader, DamagedFilesAreErrorsNotCrashes) {
  const std::string text = document().dump();
  std::mt19937_64 random(3);
  for (int trial = 0; trial < 1000; ++trial) {
    std::string damaged = text;
    damaged[random() % damaged.size()] = static_cast<char>(random() % 128);
    const TemporaryFolder folder;
    try {
      (void)read_report(folder.write("r.json", damaged));
    } catch (const Error&) {
      continue;  // any other exception fails the test
    }
  }
}

TEST(ReportTables, SelectShowsOnlyWhatWasAskedFor) {
  const std::string text = text_of(report_sections(small_report(), {"baselines"}));
  EXPECT_TRUE(text.starts_with("Baselines"));
  EXPECT_EQ(text.find("Front"), std::string::npos);
}

TEST(ReportTables, UnknownSectionIsNamedWithAHint) {
  expect_error(ErrorKind::invalid_argument, "Did you mean \"front\"?",
               [] { (void)report_sections(small_report(), {"fornt"}); });
}

TEST(HumanBytes, UsesBinaryUnits) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(13824), "13.5 KiB");
  EXPECT_EQ(human_bytes(524288), "512 KiB");
  EXPECT_EQ(human_bytes(1.5 * 1024 * 1024 * 1024), "1.5 GiB");
}

}  // namespace
}  // namespace qcqa
