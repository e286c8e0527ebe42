#include "qcqa/pipeline/distill.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/pipeline/conversion.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/session.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;
namespace fs = std::filesystem;

/// A small original, and models that it was converted to.
class Distill : public ::testing::Test {
 protected:
  static constexpr int kVocabulary = 40;

  void SetUp() override { original_.emplace(written("original", {})); }

  [[nodiscard]] Model written(const std::string& name, PicoModel pico) const {
    pico.head_dim = 8;
    pico.mlp_size = 48;
    pico.vocabulary = pico.vocabulary == PicoModel{}.vocabulary ? kVocabulary : pico.vocabulary;
    write_pico_model(folder_ / name, pico);
    std::ifstream in(folder_ / name / "config.json");
    nlohmann::json config = nlohmann::json::parse(in);
    config["bos_token_id"] = 1;
    config["max_position_embeddings"] = 64;
    std::ofstream(folder_ / name / "config.json") << config.dump();
    return Model::open(folder_ / name);
  }

  /// With two KV heads in the place of four, by means: there is much to gain.
  [[nodiscard]] Model converted(Layout layout) const {
    ConversionSettings settings;
    settings.plan.groups = 2;
    settings.plan.cardinality = Cardinality::contiguous;
    settings.merge.kind = MergeKind::mean;
    settings.output.options.layout = layout;
    settings.output.folder = folder_ / "converted" / std::string(layout_name(layout));
    fs::create_directories(folder_ / "converted");
    (void)run(*original_, settings, {});
    return Model::open(settings.output.folder);
  }

  [[nodiscard]] DistillSettings settings(const std::string& output) const {
    DistillSettings settings;
    settings.steps = 24;
    settings.rate = 3e-3;
    settings.calibration = {.sources = {kSelf}, .tokens = 1536};
    settings.folder = folder_ / output;
    return settings;
  }

  DistillOutcome distilled(const Model& model, const std::string& output) const {
    return distill(model, *original_, settings(output), {});
  }

  /// Beside the original, on random tokens.
  [[nodiscard]] Closeness closeness(const Model& model) const {
    std::mt19937 random(2);
    std::vector<std::vector<TokenId>> rows(16, std::vector<TokenId>(32));
    for (auto& row : rows) {
      for (TokenId& id : row) id = static_cast<TokenId>(random() % kVocabulary);
    }
    const TokenSequences sequences(std::move(rows));
    const Evaluation evaluation = evaluate(model, &*original_, sequences.all(), {});
    return {.kl = evaluation.reference->kl_mean, .cross_entropy = evaluation.cross_entropy};
  }

  /// Names of the tensors whose bytes differ; those of one model are those of the other.
  static std::set<std::string> changed_tensors(const Model& a, const Model& b) {
    std::set<std::string> changed;
    EXPECT_EQ(a.checkpoint().tensors().size(), b.checkpoint().tensors().size());
    for (const TensorView& tensor : a.checkpoint().tensors()) {
      const TensorView& other = b.checkpoint().at(tensor.name);
      EXPECT_EQ(tensor.dtype, other.dtype) << tensor.name;
      EXPECT_EQ(tensor.shape, other.shape) << tensor.name;
      if (!std::ranges::equal(tensor.stored, other.stored)) changed.insert(tensor.name);
    }
    return changed;
  }

  /// Without what differs from run to run.
  [[nodiscard]] std::map<std::string, std::string> files_of(const std::string& output) const {
    std::map<std::string, std::string> files;
    for (auto& [name, content] : folder_contents(folder_ / output)) files[name] = content;
    nlohmann::json report = nlohmann::json::parse(files.at(kDistillFile));
    report.erase("seconds");
    files[kDistillFile] = report.dump();
    return files;
  }

  TemporaryFolder folder_;
  std::optional<Model> original_;
};

TEST_F(Distill, BringsThePredictionsNearerToTheOriginals) {
  const Model model = converted(Layout::gqa);
  const DistillOutcome outcome = distilled(model, "out");
  EXPECT_TRUE(outcome.is_better());
  EXPECT_LT(outcome.after.kl, 0.9 * outcome.before.kl);
  EXPECT_LT(outcome.after.cross_entropy, outcome.before.cross_entropy);
  EXPECT_GT(outcome.steps, 0);
  const Model after = Model::open(folder_ / "out");
  EXPECT_LT(closeness(after).kl, closeness(model).kl);
  EXPECT_FALSE(fs::exists(folder_ / "out.state"));
}

TEST_F(Distill, KeepsLayoutAndFilesByteForByte) {
  for (const Layout layout : {Layout::gqa, Layout::expanded, Layout::remote_code}) {
    const std::string name(layout_name(layout));
    SCOPED_TRACE(name);
    const Model model = converted(layout);
    ASSERT_TRUE(distilled(model, "out-" + name).is_better());
    const Model after = Model::open(folder_ / ("out-" + name));
    EXPECT_FALSE(changed_tensors(model, after).empty());
    std::map<std::string, std::string> files = files_of("out-" + name);
    for (const auto& [file, content] : folder_contents(model.path())) {
      ASSERT_TRUE(files.contains(file)) << file;
      if (file == "README.md") {
        EXPECT_TRUE(files[file].starts_with(content));
        EXPECT_NE(files[file].find("## Distilled"), std::string::npos);
      } else if (file != "model.safetensors") {
        EXPECT_EQ(files[file], content) << file;
      }
    }
  }
}

TEST_F(Distill, AttentionAloneMayChange) {
  const Model model = converted(Layout::gqa);
  DistillSettings attention = settings("out");
  attention.scope = ReconstructScope::attention;
  ASSERT_TRUE(distill(model, *original_, attention, {}).is_better());
  for (const std::string& name : changed_tensors(model, Model::open(folder_ / "out"))) {
    EXPECT_NE(name.find("self_attn"), std::string::npos) << name;
  }
}

TEST_F(Distill, EqualHeadsStayEqual) {
  const Model model = converted(Layout::expanded);
  ASSERT_TRUE(distilled(model, "out").is_better());
  const Model after = Model::open(folder_ / "out");
  for (const AttentionLayer& layer : after.layers()) {
    for (const auto* heads : {&layer.key, &layer.value}) {
      EXPECT_EQ(values_of((*heads)[0].weight), values_of((*heads)[1].weight));
      EXPECT_NE(values_of((*heads)[1].weight), values_of((*heads)[2].weight));
    }
  }
  EXPECT_TRUE(changed_tensors(model, after).contains("model.layers.1.self_attn.k_proj.weight"));
}

TEST_F(Distill, InterruptedAnywhereItGoesOnToTheSameOutput) {
  const Model model = converted(Layout::gqa);
  int calls = 0;
  (void)distill(model, *original_, settings("whole"),
                session(Resume::refuse, [&](const ProgressEvent&) { return ++calls > 0; }));
  static constexpr int kPoints = 12;
  for (int point = 0; point < kPoints; ++point) {
    const std::string name = "parts-" + std::to_string(point);
    const int stop = 1 + point * (calls - 1) / kPoints;
    SCOPED_TRACE("progress " + std::to_string(stop) + " of " + std::to_string(calls));
    int asked = 0;
    try {
      (void)distill(model, *original_, settings(name),
                    session(Resume::refuse, [&](const ProgressEvent&) { return ++asked < stop; }));
    } catch (const Error& error) {
      ASSERT_EQ(error.kind(), ErrorKind::interrupted) << error.what();
      EXPECT_FALSE(fs::exists(folder_ / name));
      (void)distill(model, *original_, settings(name), session(Resume::go_on));
    }
    EXPECT_TRUE(files_of(name) == files_of("whole"));
    EXPECT_FALSE(fs::exists(folder_ / (name + ".state")));
  }
}

TEST_F(Distill, NoStepIsTakenTwice) {
  const Model model = converted(Layout::gqa);
  std::set<std::int64_t> seen;
  const auto stopping_after = [&](std::size_t calls) {
    std::size_t asked = 0;
    return [&seen, asked, calls](const ProgressEvent& event) mutable {
      if (event.phase != "distill" || event.done <= 2 * 1408) return true;  // the original's predictions
      EXPECT_TRUE(seen.insert(event.done).second) << event.done;
      return ++asked < calls;
    };
  };
  expect_error(ErrorKind::interrupted, "what was finished is kept here",
               [&] { (void)distill(model, *original_, settings("out"), session(Resume::refuse, stopping_after(7))); });
  (void)distill(model, *original_, settings("out"), session(Resume::go_on, stopping_after(1000)));
  EXPECT_EQ(seen.size(), 24U);
}

TEST_F(Distill, AStateOfAnotherModelIsRefused) {
  const Model model = converted(Layout::gqa);
  expect_error(ErrorKind::interrupted, "", [&] {
    (void)distill(model, *original_, settings("out"),
                  session(Resume::refuse, [](const ProgressEvent& event) { return event.phase != "distill"; }));
  });
  expect_error(ErrorKind::invalid_argument, "MODEL", [&] {
    (void)distill(converted(Layout::expanded), *original_, settings("out"), session(Resume::go_on));
  });
  DistillSettings other = settings("out");
  other.scope = ReconstructScope::attention;
  expect_error(ErrorKind::invalid_argument, "found --scope block then, attention now",
               [&] { (void)distill(model, *original_, other, session(Resume::go_on)); });
}

TEST_F(Distill, AnotherShapeIsRefusedInOneLine) {
  const Model other = written("other", {.layers = 3, .hidden_size = 16, .vocabulary = 41});
  expect_error(ErrorKind::invalid_argument,
               "found vocabulary 41 beside the model's 40, hidden size 16 beside the model's 12, number of layers 3 "
               "beside the model's 2",
               [&] { (void)distill(*original_, other, settings("out"), {}); });
  EXPECT_FALSE(fs::exists(folder_ / "out.state"));
}

TEST_F(Distill, WhereNothingIsBetterNothingIsWritten) {
  const DistillOutcome outcome = distilled(*original_, "out");
  EXPECT_FALSE(outcome.is_better());
  EXPECT_LT(outcome.before.kl, 1e-6);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_FALSE(fs::exists(folder_ / "out.state"));
}

TEST_F(Distill, TooLittleMemoryIsSaid) {
  DistillSettings small = settings("out");
  small.memory = 1000;
  expect_error(ErrorKind::invalid_argument, "--memory: must have room for all layers",
               [&] { (void)distill(*original_, *original_, small, {}); });
}

/// Float32: every weight of the layers, and six more numbers for each that is fitted.
TEST_F(Distill, MemoryIsCountedForWhatTheScopeFits) {
  std::uint64_t all = 0, attention = 0;
  for (const TensorView& tensor : original_->checkpoint().tensors()) {
    if (tensor.name.starts_with("model.embed_tokens") || tensor.name.starts_with("lm_head")) continue;
    const auto entries = static_cast<std::uint64_t>(tensor.element_count());
    all += entries;
    if (tensor.name.find("self_attn") != std::string::npos) attention += entries;
  }
  for (const auto& [scope, fitted] :
       {std::pair(ReconstructScope::block, all), std::pair(ReconstructScope::attention, attention)}) {
    const std::uint64_t bytes = 4 * (all + 6 * fitted);
    DistillOptions options{.scope = scope};
    options.memory = bytes - 1;
    expect_error(ErrorKind::invalid_argument, "--memory: must have room for all layers",
                 [&] { require_distillable(*original_, *original_, options); });
    options.memory = bytes;
    EXPECT_NO_THROW(require_distillable(*original_, *original_, options));
  }
}

TEST_F(Distill, ADryRunWritesNothing) {
  const Model model = converted(Layout::gqa);
  DistillSettings dry = settings("out");
  dry.dry_run = true;
  EXPECT_GT(distill(model, *original_, dry, {}).file_bytes, 0U);
  EXPECT_FALSE(fs::exists(folder_ / "out"));
  EXPECT_FALSE(fs::exists(folder_ / "out.state"));
}

TEST_F(Distill, StepsFollowTheTimeLimit) {
  DistillSettings open = settings("out");
  open.steps = {};
  open.time_limit = 1e6;
  const DistillChoice all = choose_distillation(*original_, *original_, open);
  EXPECT_EQ(all.steps, 16 * 1536 / 512);
  EXPECT_EQ(all.tokens, 1536);
  open.time_limit = 1e-6;
  expect_error(ErrorKind::invalid_argument, "--time-limit",
               [&] { (void)choose_distillation(*original_, *original_, open); });
}

TEST_F(Distill, StepsThatAreGivenAreNotTimedButByADryRun) {
  DistillSettings given = settings("out");
  given.steps = 7;
  const DistillChoice choice = choose_distillation(*original_, *original_, given);
  EXPECT_EQ(choice.steps, 7);
  EXPECT_EQ(choice.seconds, 0);
  EXPECT_EQ(choice.reason, "7 steps of all layers together, 1536 tokens");
  given.dry_run = true;
  const DistillChoice told = choose_distillation(*original_, *original_, given);
  EXPECT_EQ(told.steps, 7);
  EXPECT_GT(told.seconds, 0);
  EXPECT_NE(told.reason.find(" tokens: about "), std::string::npos) << told.reason;
}

TEST_F(Distill, WhatWasMeasuredOnTheOldWeightsIsNotCarriedOver) {
  const Model model = converted(Layout::gqa);
  nlohmann::ordered_json report = nlohmann::ordered_json::parse(std::ifstream(model.path() / kReportFile));
  report["evaluation"] = {{"perplexity", 1}};
  report["timings"]["evaluate"] = 1;
  std::ofstream(model.path() / kReportFile) << report.dump(1);
  ASSERT_TRUE(distilled(model, "out").is_better());
  const auto after = nlohmann::json::parse(std::ifstream(folder_ / "out" / kReportFile));
  EXPECT_FALSE(after.contains("evaluation"));
  EXPECT_FALSE(after.at("timings").contains("evaluate"));
  EXPECT_TRUE(after.contains("plan"));
}

}  // namespace
}  // namespace qcqa
