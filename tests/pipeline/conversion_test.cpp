#include "qcqa/pipeline/conversion.hpp"
#include "merge/work.hpp"
#include "pipeline/merge_comparison.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "qcqa/pipeline/search.hpp"
#include "qcqa/report/report.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/session.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;
namespace fs = std::filesystem;

/// Times are what no two runs share.
void without_times(nlohmann::json& report) {
  report.erase("timings");
  if (report.contains("merge")) report["merge"].erase("seconds");
  if (report.contains("evaluation")) report["evaluation"].erase("tokens_per_second");
}

/// Every file below a folder, by name; the report without times.
std::map<std::string, std::string> files_in(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::ostringstream content;
    content << std::ifstream(entry.path()).rdbuf();
    std::string& text = files[fs::relative(entry.path(), folder).string()];
    text = content.str();
    if (entry.path().filename() != kReportFile) continue;
    nlohmann::json report = nlohmann::json::parse(text);
    without_times(report);
    text = report.dump();
  }
  return files;
}

/// What differs between two folders, for people; empty: nothing.
std::string differences(const fs::path& a, const fs::path& b) {
  const auto in_a = files_in(a);
  const auto in_b = files_in(b);
  std::string text;
  for (const auto& [name, content] : in_a) {
    const auto other = in_b.find(name);
    if (other == in_b.end()) {
      text += name + " is missing; ";
    } else if (content != other->second && name == kReportFile) {
      text += nlohmann::json::diff(nlohmann::json::parse(content), nlohmann::json::parse(other->second)).dump() + "; ";
    } else if (content != other->second) {
      text += name + "; ";
    }
  }
  for (const auto& [name, content] : in_b) {
    if (!in_a.contains(name)) text += name + " is new; ";
  }
  return text;
}

/// A small model, and settings of a run that goes through every step in a few seconds.
class ConversionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write_pico_model(folder_ / "model",
                     {.layers = 2, .query_heads = 4, .kv_heads = 4, .head_dim = 8, .mlp_size = 48, .vocabulary = 40});
    std::ifstream in(folder_ / "model" / "config.json");
    nlohmann::json config = nlohmann::json::parse(in);
    config["bos_token_id"] = 1;
    config["max_position_embeddings"] = 64;
    std::ofstream(folder_ / "model" / "config.json") << config.dump();
    model_.emplace(Model::open(folder_ / "model"));
    folder_.write("ids.txt", "1 2 3 4 5 6 7 8 9\n1 9 8 7 6 5 4 3 2\n1 3 5 7 9 11 13 15\n");
  }

  [[nodiscard]] ConversionSettings settings(const std::string& output) const {
    ConversionSettings settings;
    settings.plan.kv = 0.5;
    settings.search.strategy = Strategy::nsga2;
    settings.search.layer.nsga2 = settings.search.model_nsga2 = {.population = 8, .generations = 6};
    settings.fitness = FitnessKind::measured;
    settings.merge.kind = MergeKind::reconstruct;
    settings.merge.reconstruct.steps = 6;
    settings.merge.reconstruct.step_tokens = 128;
    settings.merge.reconstruct.distill_steps = 8;
    settings.calibration = {.sources = {kSelf}, .tokens = 1536};
    settings.text.token_ids = folder_ / "ids.txt";
    settings.output.folder = folder_ / output;
    return settings;
  }

  /// @returns how often progress was asked
  int run_whole(const std::string& output) const {
    int calls = 0;
    (void)run(*model_, settings(output), session(Resume::refuse, [&](const ProgressEvent&) { return ++calls > 0; }));
    return calls;
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
};

TEST_F(ConversionTest, InterruptedAnywhereItGoesOnToTheSameOutput) {
  const int calls = run_whole("whole");
  ASSERT_GT(calls, 60);
  // How often the first thread is asked depends on the batches that the others take, so the last point may be past the
  // end of its run.
  static constexpr int kPoints = 24;
  int interrupted = 0;
  for (int point = 0; point < kPoints; ++point) {
    const std::string name = "parts-" + std::to_string(point);
    const int stop = 1 + point * (calls - 1) / kPoints;
    SCOPED_TRACE("progress " + std::to_string(stop) + " of " + std::to_string(calls));
    int asked = 0;
    try {
      (void)run(*model_, settings(name), session(Resume::refuse, [&](const ProgressEvent&) { return ++asked < stop; }));
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::interrupted) << error.what();
      ++interrupted;
      (void)run(*model_, settings(name), session(Resume::go_on));
    }
    EXPECT_EQ(differences(folder_ / "whole", folder_ / name), "");
    EXPECT_FALSE(fs::exists(folder_ / (name + ".state")));
  }
  EXPECT_GE(interrupted, kPoints - 3);
}

TEST_F(ConversionTest, InterruptedAgainAndAgainItComesToAnEnd) {
  (void)run_whole("whole");
  int runs = 0;
  for (bool done = false; !done && runs < 200; ++runs) {
    int asked = 0;
    try {
      (void)run(*model_, settings("parts"),
                session(Resume::go_on, [&](const ProgressEvent&) { return ++asked < 40 + 10 * runs; }));
      done = true;
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::interrupted) << error.what();
    }
  }
  EXPECT_GT(runs, 3);
  EXPECT_EQ(differences(folder_ / "whole", folder_ / "parts"), "");
}

TEST_F(ConversionTest, FinishedStepsAreNotDoneAgain) {
  std::set<std::string> first;
  expect_error(ErrorKind::interrupted, "what was finished is kept here", [&] {
    (void)run(*model_, settings("out"), session(Resume::refuse, [&](const ProgressEvent& event) {
      first.insert(std::string(event.phase));
      return event.phase != "convert";
    }));
  });
  EXPECT_TRUE(first.contains("sample"));
  EXPECT_TRUE(first.contains("measure"));
  EXPECT_TRUE(first.contains("merge"));
  std::set<std::string> second;
  (void)run(*model_, settings("out"), session(Resume::go_on, [&](const ProgressEvent& event) {
    second.insert(std::string(event.phase));
    return true;
  }));
  EXPECT_TRUE(second.contains("convert"));
  for (const char* phase : {"sample", "fitness", "layers", "model", "measure", "merge"}) {
    EXPECT_FALSE(second.contains(phase)) << phase;
  }
}

/// Per fitness, and for layers with every group in their tables and with pairs alone.
TEST_F(ConversionTest, CostsOfLayersAreNotComputedAgain) {
  for (const int heads : {4, 9}) {
    const fs::path path = folder_ / std::to_string(heads);
    write_pico_model(path, {.layers = 3, .query_heads = heads, .kv_heads = heads, .head_dim = 8});
    const Model model = Model::open(path);
    for (const FitnessKind fitness : {FitnessKind::wse, FitnessKind::aligned, FitnessKind::subspace}) {
      SCOPED_TRACE(std::string(fitness_name(fitness)) + ", " + std::to_string(heads));
      SearchSettings settings;
      settings.fitness = fitness;
      Session session;
      const Report whole = search(model, settings, session);
      session.state = folder_ / "search.state";
      session.progress = [&](const ProgressEvent& event) { return event.phase != "layers"; };
      expect_error(ErrorKind::interrupted, "", [&] { (void)search(model, settings, session); });
      session.resume = Resume::go_on;
      std::vector<std::int64_t> layers;
      session.progress = [&](const ProgressEvent& event) {
        if (event.phase == "fitness") layers.push_back(event.done);
        return event.phase == "fitness";
      };
      expect_error(ErrorKind::interrupted, "", [&] { (void)search(model, settings, session); });
      const bool has_pairs_alone = heads == 9 && fitness != FitnessKind::wse;
      EXPECT_EQ(layers.size(), has_pairs_alone ? 3 : 0);
      session.progress = {};
      const Report resumed = search(model, settings, session);
      EXPECT_EQ(to_json(resumed)["search"], to_json(whole)["search"]);
      forget_run(session.state);
    }
  }
}

TEST_F(ConversionTest, AnotherCalibrationTextIsRefused) {
  const Model example = Model::open(QCQA_EXAMPLE_MODEL);
  folder_.write("text.txt", "Once upon a time there was a little boat. It went to sea.");
  SearchSettings settings;
  settings.fitness = FitnessKind::subspace;
  settings.calibration = {.sources = {folder_ / "text.txt"}, .tokens = 500};
  Session session;
  session.state = folder_ / "search.state";
  session.progress = [](const ProgressEvent& event) { return event.phase != "layers"; };
  expect_error(ErrorKind::interrupted, "", [&] { (void)search(example, settings, session); });
  session.resume = Resume::go_on;
  session.progress = {};
  folder_.write("text.txt", "Once upon a time there was a little goat. It went to sea.");
  expect_error(ErrorKind::invalid_argument, "calibration text", [&] { (void)search(example, settings, session); });
  folder_.write("text.txt", "Once upon a time there was a little boat. It went to sea.");
  EXPECT_NO_THROW((void)search(example, settings, session));
}

/// The same command would fail again, so there is nothing to go on with.
TEST_F(ConversionTest, OfARunThatCannotBeDoneNothingIsKept) {
  ConversionSettings wanted = settings("out");
  wanted.plan.point = 999;  // only the front says that there is none
  expect_error(ErrorKind::invalid_argument, "", [&] { (void)run(*model_, wanted, session(Resume::refuse)); });
  EXPECT_FALSE(fs::exists(folder_ / "out.state"));
}

TEST_F(ConversionTest, AFailureWhileWritingLosesNothing) {
  Conversion conversion(*model_, settings("out"), session(Resume::refuse));
  (void)conversion.plan();
  (void)conversion.merge();
  fs::create_directory(folder_ / "out");
  folder_.write("out/in-the-way", "");
  expect_error(ErrorKind::invalid_argument, "must be new or empty", [&] { (void)conversion.write(); });
  EXPECT_TRUE(fs::exists(folder_ / "out.state" / "merged" / "layer-1"));
  fs::remove_all(folder_ / "out");
  (void)conversion.write();
  conversion.finish();
  EXPECT_FALSE(fs::exists(folder_ / "out.state"));
  EXPECT_NO_THROW((void)Model::open(folder_ / "out"));
}

TEST_F(ConversionTest, FinishedStepsOfOtherSettingsAreRefusedByName) {
  expect_error(ErrorKind::interrupted, "", [&] {
    (void)run(*model_, settings("out"),
              session(Resume::refuse, [&](const ProgressEvent& event) { return event.phase != "merge"; }));
  });
  expect_error(ErrorKind::invalid_argument, "holds what an interrupted run has finished",
               [&] { (void)run(*model_, settings("out"), session(Resume::refuse)); });
  ConversionSettings other = settings("out");
  other.merge.reconstruct.steps = 7;
  other.plan.kv = 0.25;
  expect_error(ErrorKind::invalid_argument, "found --kv 0.5 then, 0.25 now; --reconstruct-steps 6 then, 7 now",
               [&] { (void)run(*model_, other, session(Resume::go_on)); });
  folder_.write("ids.txt", "1 2 3\n");
  expect_error(ErrorKind::invalid_argument, "found text ",
               [&] { (void)run(*model_, settings("out"), session(Resume::go_on)); });
  EXPECT_TRUE(fs::exists(folder_ / "out.state" / "search-report.json"));
  (void)run(*model_, other, session(Resume::start_over));
  EXPECT_FALSE(fs::exists(folder_ / "out.state"));
}

TEST_F(ConversionTest, ADryRunCountsWhatTheMergeTakes) {
  const auto needs = [&](MergeKind kind, int distill_steps, FitnessKind fitness = FitnessKind::subspace) {
    ConversionSettings dry = settings("out");
    dry.output.dry_run = true;
    dry.fitness = fitness;
    dry.merge.kind = kind;
    dry.merge.reconstruct.distill_steps = distill_steps;
    Conversion conversion(*model_, dry, {});
    (void)conversion.plan();
    EXPECT_GT(conversion.needs().disk_bytes, conversion.preview().file_bytes);
    return conversion.needs();
  };
  const ConversionNeeds refit = needs(MergeKind::refit, 0);
  const ConversionNeeds distilled = needs(MergeKind::reconstruct, 8);
  const ConversionNeeds measured = needs(MergeKind::refit, 0, FitnessKind::measured);
  // Of every fitted weight, two states of a distillation keep four numbers each.
  const std::uint64_t fitted = fitted_parameters(*model_, ReconstructScope::block) * sizeof(float);
  EXPECT_GE(distilled.disk_bytes, refit.disk_bytes + 8 * fitted);
  EXPECT_GT(measured.disk_bytes, refit.disk_bytes + fitted);
  EXPECT_GE(distilled.memory_bytes, refit.memory_bytes);
  EXPECT_GT(refit.memory_bytes, fitted);
}

TEST_F(ConversionTest, TheMergeThatWasChosenStays) {
  ConversionSettings open = settings("out");
  open.merge.kind = std::nullopt;
  expect_error(ErrorKind::interrupted, "", [&] {
    (void)run(*model_, open,
              session(Resume::refuse, [&](const ProgressEvent& event) { return event.phase != "measure"; }));
  });
  const fs::path file = folder_ / "out.state" / "chosen-merge.json";
  nlohmann::json chosen = nlohmann::json::parse(std::ifstream(file));
  EXPECT_EQ(chosen.at("kind"), "reconstruct");
  // As if the machine had been busier when it was measured.
  chosen["kind"] = "refit";
  std::ofstream(file) << chosen.dump();
  const Report report = run(*model_, open, session(Resume::go_on));
  EXPECT_EQ(report.merge->ladder.rungs.back().name, "refit");
}

/// What is measured decides, not what should be better. The model's weights are random, so on a few tokens any merge
/// may be the best one.
TEST_F(ConversionTest, AMergeThatMeasuresWorseThanASimplerOneIsNotKept) {
  std::set<std::string> taken;
  for (int first = 2; first < 8; ++first) {
    SCOPED_TRACE(first);
    folder_.write("ids.txt", fmt::format("1 {} {} {}\n", first, first + 12, first + 24));
    ConversionSettings wanted = settings("out-" + std::to_string(first));
    wanted.fitness = FitnessKind::wse;
    wanted.calibration.tokens = 256;
    wanted.merge.kind = std::nullopt;
    wanted.merge.reconstruct.steps = wanted.merge.reconstruct.distill_steps = 1;
    std::string said;
    Session noted = session(Resume::refuse);
    noted.remark = [&](const std::string& text) { said += text; };
    const Report report = run(*model_, wanted, noted);
    const MergeLadder& ladder = report.merge->ladder;
    ASSERT_EQ(ladder.rungs.size(), 5U);
    EXPECT_EQ(ladder.rungs.back().name, "reconstruct");
    EXPECT_EQ(ladder.tokens, 3);
    const std::string kind(merge_kind_name(report.merge->kind));
    EXPECT_EQ(kind, ladder.best().name);
    EXPECT_EQ(said.find("is taken: reconstruct measures worse") != std::string::npos, kind != "reconstruct") << said;
    taken.insert(kind);
    EXPECT_NEAR(report.evaluation->perplexity, ladder.best().perplexity, 1e-3 * ladder.best().perplexity);

    wanted.merge.kind = MergeKind::reconstruct;
    wanted.output.folder += "-chosen";
    said.clear();
    EXPECT_EQ(run(*model_, wanted, noted).merge->kind, MergeKind::reconstruct);
    EXPECT_EQ(said.find("--merge reconstruct measures worse than " + kind) != std::string::npos, kind != "reconstruct")
        << said;
  }
  EXPECT_GT(taken.size(), 1U);
}

TEST_F(ConversionTest, TheModelCardSaysWhatWasMeasured) {
  const Report report = run(*model_, settings("out"), session(Resume::refuse));
  std::ostringstream card;
  card << std::ifstream(folder_ / "out" / "README.md").rdbuf();
  const MergeLadder& ladder = report.merge->ladder;
  EXPECT_NE(card.str().find(fmt::format("Measured on 23 tokens that it was not fitted to: cross-entropy {:+.3f} nats",
                                        ladder.nats_above(ladder.rungs.back()))),
            std::string::npos)
      << card.str();
  EXPECT_NE(card.str().find("merged otherwise: mean "), std::string::npos);
}

/// Of a run whose output can hold other head counts in every layer.
class PlanComparisonTest : public ConversionTest {
 protected:
  [[nodiscard]] ConversionSettings per_layer(const std::string& output, MergeKind kind) const {
    ConversionSettings wanted = settings(output);
    wanted.search.strategy = Strategy::automatic;
    wanted.fitness = FitnessKind::wse;
    wanted.merge.kind = kind;
    wanted.output.options.layout = Layout::remote_code;
    return wanted;
  }
};

/// The model's weights are random, so on a few tokens either plan may be the better one.
TEST_F(PlanComparisonTest, ThePlanThatMeasuresBetterIsWritten) {
  std::set<bool> taken;
  for (int first = 2; first < 10; ++first) {
    SCOPED_TRACE(first);
    folder_.write("ids.txt", fmt::format("1 {} {} {}\n", first, first + 12, first + 24));
    ConversionSettings wanted = per_layer("out-" + std::to_string(first), MergeKind::mean);
    wanted.calibration.sources.clear();
    std::string said;
    Session noted = session(Resume::refuse);
    noted.note = [&](const std::string& text) { said += text; };
    const Report report = run(*model_, wanted, noted);
    ASSERT_TRUE(report.plan_comparison.has_value());
    const PlanComparison& comparison = *report.plan_comparison;
    EXPECT_EQ(comparison.merge, MergeKind::mean);
    EXPECT_EQ(comparison.tokens, 3);
    EXPECT_NEAR(comparison.difference, comparison.per_layer.cross_entropy - comparison.uniform.cross_entropy, 1e-9);
    EXPECT_EQ(comparison.takes_uniform, comparison.difference > comparison.difference_error);
    EXPECT_EQ(report.plan->is_uniform(), comparison.takes_uniform);
    const MeasuredPlan& better = comparison.takes_uniform ? comparison.uniform : comparison.per_layer;
    EXPECT_EQ(report.plan->kv_heads(), better.kv_heads);
    // It is what was written, not only what is said.
    EXPECT_NEAR(report.evaluation->cross_entropy, better.cross_entropy, 1e-4);
    EXPECT_GT(std::abs(comparison.difference), 1e-3);
    EXPECT_NEAR(report.evaluation->reference->cross_entropy, comparison.original, 1e-4);
    EXPECT_NE(said.find(text_of(comparison)), std::string::npos) << said;
    std::ostringstream card;
    card << std::ifstream(wanted.output.folder / "README.md").rdbuf();
    EXPECT_NE(card.str().find(text_of(comparison)), std::string::npos);
    taken.insert(comparison.takes_uniform);
  }
  EXPECT_EQ(taken.size(), 2U);
}

/// Both where the better fit is the merge, and where steps follow.
TEST_F(PlanComparisonTest, InterruptedAnywhereItGoesOnToTheSameOutput) {
  for (const MergeKind kind : {MergeKind::refit, MergeKind::reconstruct}) {
    const std::string whole = "whole-" + std::string(merge_kind_name(kind));
    int calls = 0;
    const Report report = run(*model_, per_layer(whole, kind),
                              session(Resume::refuse, [&](const ProgressEvent&) { return ++calls > 0; }));
    ASSERT_TRUE(report.plan_comparison.has_value());
    EXPECT_EQ(report.plan_comparison->merge, MergeKind::refit);
    static constexpr int kPoints = 12;
    int interrupted = 0;
    for (int point = 0; point < kPoints; ++point) {
      const std::string name = whole + "-parts-" + std::to_string(point);
      const int stop = 1 + point * (calls - 1) / kPoints;
      SCOPED_TRACE(name + ": progress " + std::to_string(stop) + " of " + std::to_string(calls));
      int asked = 0;
      try {
        (void)run(*model_, per_layer(name, kind),
                  session(Resume::refuse, [&](const ProgressEvent&) { return ++asked < stop; }));
      } catch (const Error& error) {
        ASSERT_EQ(error.kind(), ErrorKind::interrupted) << error.what();
        ++interrupted;
        (void)run(*model_, per_layer(name, kind), session(Resume::go_on));
      }
      EXPECT_EQ(differences(folder_ / whole, folder_ / name), "");
      EXPECT_FALSE(fs::exists(folder_ / (name + ".state")));
    }
    EXPECT_GE(interrupted, kPoints - 3);
  }
}

TEST_F(PlanComparisonTest, WhatWasMeasuredStaysChosen) {
  const ConversionSettings wanted = per_layer("out", MergeKind::reconstruct);
  const bool took_uniform = [&] {
    Conversion conversion(*model_, wanted, session(Resume::refuse));
    return conversion.plan().plan->is_uniform();
  }();
  const fs::path state = folder_ / "out.state";
  EXPECT_FALSE(fs::exists(state / "tried-plan"));
  EXPECT_FALSE(fs::exists(state / "tried-plan-uniform"));
  nlohmann::json kept = nlohmann::json::parse(std::ifstream(state / "search-report.json"));
  EXPECT_EQ(kept.at("plan_comparison").at("taken"), took_uniform ? "uniform" : "per_layer");
  // As if it had come out otherwise.
  kept["plan_comparison"]["taken"] = took_uniform ? "per_layer" : "uniform";
  std::ofstream(state / "search-report.json") << kept.dump();
  std::set<std::string> phases;
  Conversion conversion(*model_, wanted, session(Resume::go_on, [&](const ProgressEvent& event) {
    phases.insert(std::string(event.phase));
    return true;
  }));
  EXPECT_EQ(conversion.plan().plan->is_uniform(), !took_uniform);
  EXPECT_FALSE(phases.contains("merge"));
  EXPECT_FALSE(phases.contains("evaluate"));
  (void)conversion.merge();
  (void)conversion.write();
  EXPECT_TRUE(conversion.evaluate().has_value());
}

TEST_F(PlanComparisonTest, OnlyAPlanThatWasSearchedForIsCompared) {
  ConversionSettings wanted = per_layer("out", MergeKind::mean);
  wanted.calibration.sources.clear();
  wanted.output.options.layout = Layout::gqa;  // takes uniform plans
  EXPECT_FALSE(run(*model_, wanted, session(Resume::refuse)).plan_comparison.has_value());
  wanted.output.options.layout = Layout::remote_code;
  wanted.plan.point = 1;
  wanted.output.folder += "-point";
  EXPECT_FALSE(run(*model_, wanted, session(Resume::refuse)).plan_comparison.has_value());
  wanted.plan.point.reset();
  wanted.text = {};  // nothing to measure on
  wanted.output.folder += "-text";
  const Report report = run(*model_, wanted, session(Resume::refuse));
  EXPECT_FALSE(report.plan_comparison.has_value());
  EXPECT_FALSE(report.plan->is_uniform());
}

TEST_F(PlanComparisonTest, WhatAnotherRunMeasuredStaysWithIt) {
  ConversionSettings wanted = per_layer("out", MergeKind::mean);
  wanted.calibration.sources.clear();
  const Report first = run(*model_, wanted, session(Resume::refuse));
  ASSERT_TRUE(first.evaluation.has_value());
  ASSERT_TRUE(first.plan_comparison.has_value());
  wanted.plan.report = wanted.output.folder / kReportFile;
  wanted.text = {};
  wanted.output.folder += "-again";
  (void)run(*model_, wanted, session(Resume::refuse));
  const Report second = read_report(wanted.output.folder / kReportFile);
  EXPECT_FALSE(second.evaluation.has_value());
  EXPECT_FALSE(second.plan_comparison.has_value());
  EXPECT_TRUE(second.timings.contains("search"));
  EXPECT_FALSE(second.timings.contains("evaluate"));
  EXPECT_FALSE(second.timings.contains("plans"));
}

TEST_F(PlanComparisonTest, WithoutTimeForItThePlanStays) {
  for (const bool has_time : {false, true}) {
    ConversionSettings wanted = per_layer(has_time ? "time" : "none", MergeKind::mean);
    wanted.merge.kind = std::nullopt;
    wanted.merge.time_limit = has_time ? 3600 : 1e-6;
    wanted.output.dry_run = true;
    std::string said;
    Session noted = session(Resume::refuse);
    noted.note = [&](const std::string& text) { said += text + "\n"; };
    Conversion conversion(*model_, wanted, noted);
    EXPECT_FALSE(conversion.plan().plan->is_uniform());
    EXPECT_EQ(said.find("leaves no time to measure both") != std::string::npos, !has_time) << said;
    EXPECT_EQ(said.find("here with a comparison of two plans, within --time-limit") != std::string::npos, has_time)
        << said;
    EXPECT_EQ(said.find("4 KV heads, as many in every layer, would be measured beside it") != std::string::npos,
              has_time)
        << said;
  }
}

TEST_F(ConversionTest, WhatWasComparedIsSaidOnce) {
  for (const MergeKind kind : {MergeKind::weighted, MergeKind::subspace}) {
    ConversionSettings wanted = settings("out-" + std::string(merge_kind_name(kind)));
    wanted.fitness = FitnessKind::wse;
    wanted.merge.kind = kind;
    if (merge_method(kind).text == TextUse::none) wanted.calibration = {};
    std::string said;
    Session noted = session(Resume::refuse);
    noted.note = [&](const std::string& text) { said += text + "\n"; };
    const Report report = run(*model_, wanted, noted);
    const MergeLadder& ladder = report.merge->ladder;
    const std::string last =
        fmt::format(" {} {:+.4f}\n", ladder.rungs.back().name, ladder.nats_above(ladder.rungs.back()));
    EXPECT_NE(said.find(last), std::string::npos) << said;
    const std::size_t first = said.find(" mean ");
    ASSERT_NE(first, std::string::npos) << said;
    EXPECT_EQ(said.find(" mean ", first + 1), std::string::npos) << said;
  }
}

TEST_F(ConversionTest, SimplerMergesAreCountedBeforeTheyAreKept) {
  ConversionSettings wanted = settings("out");
  wanted.fitness = FitnessKind::wse;
  wanted.plan.kv = 0;
  wanted.plan.groups = 2;
  Conversion conversion(*model_, wanted, session(Resume::refuse));
  (void)conversion.plan();
  (void)conversion.merge();
  std::uint64_t kept = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder_ / "out.state")) {
    if (entry.path().extension() != ".safetensors") continue;
    const std::string of = entry.path().lexically_relative(folder_ / "out.state").begin()->string();
    if (!of.starts_with("merged-")) continue;
    const Checkpoint merged = Checkpoint::open(entry.path().parent_path());
    for (const TensorView& tensor : merged.tensors()) kept += tensor.stored.size();
  }
  EXPECT_GT(kept, 0U);
  EXPECT_EQ(comparison_disk_bytes(*model_, {.kind = MergeKind::reconstruct}), kept);
  EXPECT_EQ(comparison_disk_bytes(*model_, {.kind = MergeKind::mean}), 0U);
}

TEST_F(ConversionTest, TwoRunsDoNotShareAnOutput) {
  Conversion first(*model_, settings("out"), session(Resume::refuse));
  (void)first.plan();
  expect_error(ErrorKind::io, "another qcqa is at work on this output",
               [&] { Conversion second(*model_, settings("out"), session(Resume::go_on)); });
}

TEST_F(ConversionTest, TheStateIsCheckedByteByByte) {
  expect_error(ErrorKind::interrupted, "", [&] {
    (void)run(*model_, settings("out"),
              session(Resume::refuse, [&](const ProgressEvent& event) { return event.phase != "merge"; }));
  });
  for (const char* step : {"calibration", "search-report", "run"}) {
    SCOPED_TRACE(step);
    const fs::path file = folder_ / "out.state" / (std::string(step) + ".json");
    std::ostringstream content;
    content << std::ifstream(file).rdbuf();
    const std::string before = content.str();
    for (const char* damaged : {"", "{}", "[[99]]", "[1, 2]", "{\"x\": {}}"}) {
      std::ofstream(file) << damaged;
      EXPECT_THROW((void)run(*model_, settings("out"), session(Resume::go_on)), Error) << damaged;
    }
    std::ofstream(file) << before;
  }
}

TEST_F(ConversionTest, ADryRunTouchesNothing) {
  ConversionSettings dry = settings("out");
  dry.fitness = FitnessKind::wse;
  dry.output.dry_run = true;
  Conversion conversion(*model_, dry, session(Resume::refuse));
  EXPECT_EQ(conversion.plan().plan->kv_heads(), 4);
  EXPECT_GT(conversion.preview().file_bytes, 0U);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_FALSE(fs::exists(folder_ / "out.state"));
}

}  // namespace
}  // namespace qcqa
