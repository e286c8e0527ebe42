#include "qcqa/merge/merge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <random>

#include "merge/work.hpp"
#include "model/attention_weights.hpp"
#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/fitness/sharing_costs.hpp"
#include "qcqa/merge/estimate.hpp"
#include "qcqa/merge/measured_costs.hpp"
#include "support/expect_error.hpp"
#include "support/gpu.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

class MergeModel : public ::testing::Test {
 protected:
  static constexpr std::int32_t kVocabulary = 40;

  void SetUp() override {
    write_pico_model(
        folder_ / "model",
        {.layers = 2, .query_heads = 4, .kv_heads = 4, .head_dim = 8, .mlp_size = 48, .vocabulary = kVocabulary});
    model_.emplace(Model::open(folder_ / "model"));
    std::mt19937 random(1);
    for (int i = 0; i < 96; ++i) {
      std::vector<std::int32_t>& sequence = sequences_.emplace_back();
      for (int k = 0; k < 32; ++k) sequence.push_back(static_cast<std::int32_t>(random() % kVocabulary));
    }
  }

  [[nodiscard]] std::vector<TokenSequence> calibration() const {
    std::vector<TokenSequence> sequences;
    for (const auto& ids : sequences_)
      sequences.push_back({.ids = ids, .first_target = 1, .document = sequences.size()});
    return sequences;
  }

  [[nodiscard]] Plan pairs() const {
    return Plan::of(std::vector(model_->layers().size(), Grouping::contiguous(4, 2)));
  }

  /// Small, and with little to learn: quick.
  static MergeOptions options(MergeKind kind) {
    MergeOptions options;
    options.kind = kind;
    options.reconstruct.steps = 40;
    options.reconstruct.step_tokens = 256;
    options.reconstruct.distill_steps = 20;
    return options;
  }

  [[nodiscard]] MergeResult merged(const MergeOptions& options, const ProgressFn& progress = {}) const {
    return merge_model(*model_, pairs(), calibration(), options, new_folder(), progress);
  }

  [[nodiscard]] MergeResult merged_in_scratch(const MergeOptions& options, const ProgressFn& progress = {}) const {
    return merge_model(*model_, pairs(), calibration(), options, folder_ / "scratch", progress);
  }

  [[nodiscard]] std::filesystem::path new_folder() const { return folder_ / ("scratch-" + std::to_string(++folders_)); }

  /// Mean KL divergence from the original on tokens of the calibration's kind that it does not hold.
  [[nodiscard]] double divergence(const Model& model) const {
    std::mt19937 random(2);
    std::vector<std::vector<std::int32_t>> rows(8, std::vector<std::int32_t>(32));
    std::vector<TokenSequence> windows;
    for (auto& row : rows) {
      for (std::int32_t& id : row) id = static_cast<std::int32_t>(random() % kVocabulary);
      windows.push_back({row, 1, windows.size()});
    }
    return evaluate(model, &*model_, windows, {}).reference->kl_mean;
  }

  static std::vector<std::byte> bytes_of(const Model& model, const std::string& name) {
    const auto bytes = model.checkpoint().find(name)->stored;
    return {bytes.begin(), bytes.end()};
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
  std::vector<std::vector<std::int32_t>> sequences_;
  mutable int folders_ = 0;
};

TEST_F(MergeModel, EveryKindMakesTheMembersOfAGroupEqual) {
  for (const MergeMethod* method : merge_methods()) {
    const MergeKind kind = method->kind;
    const MergeResult result = merged(options(kind));
    for (const AttentionLayer& layer : result.model.layers()) {
      for (const auto* heads : {&layer.key, &layer.value}) {
        EXPECT_TRUE(values_of((*heads)[0].weight) == values_of((*heads)[1].weight)) << merge_kind_name(kind);
        EXPECT_FALSE(values_of((*heads)[1].weight) == values_of((*heads)[2].weight)) << merge_kind_name(kind);
      }
    }
  }
}

TEST_F(MergeModel, EveryKindRefusesWeightsThatAreNotNumbers) {
  for (const char* name : {"model.layers.1.self_attn.k_proj.weight", "model.layers.0.self_attn.q_proj.weight"}) {
    std::filesystem::remove_all(folder_ / "spoiled");
    write_pico_model(folder_ / "spoiled", {.layers = 2,
                                           .query_heads = 4,
                                           .kv_heads = 4,
                                           .head_dim = 8,
                                           .mlp_size = 48,
                                           .vocabulary = kVocabulary,
                                           .adjust = [&](const std::string& tensor, std::size_t i, double own) {
                                             return tensor == name && i == 5 ? std::nan("") : own;
                                           }});
    const Model spoiled = Model::open(folder_ / "spoiled");
    for (const MergeMethod* method : merge_methods()) {
      const MergeKind kind = method->kind;
      if (kind == MergeKind::mean) continue;
      for (const bool calibrated : {false, true}) {
        if (!calibrated && merge_method(kind).text == TextUse::needed) continue;
        const auto sequences = calibrated ? calibration() : std::vector<TokenSequence>();
        expect_error(ErrorKind::corrupt, std::string(name) + ": weights must be finite; found not a number", [&] {
          // What nothing has to be computed for shows when it is read.
          const Model merged = merge_model(spoiled, pairs(), sequences, options(kind), new_folder()).model;
          for (const AttentionLayer& layer : merged.layers()) (void)read_attention_weights(layer);
        });
      }
    }
  }
}

TEST_F(MergeModel, EachStepOfTheLadderIsBetter) {
  const double mean = divergence(merged(options(MergeKind::mean)).model);
  const double subspace = divergence(merged(options(MergeKind::subspace)).model);
  const double refitted = divergence(merged(options(MergeKind::refit)).model);
  const double reconstructed = divergence(merged(options(MergeKind::reconstruct)).model);
  EXPECT_LT(subspace, 0.9 * mean);
  EXPECT_LT(refitted, 0.9 * subspace);
  EXPECT_LT(reconstructed, 0.9 * refitted);
}

TEST_F(MergeModel, ReconstructionTellsItsErrors) {
  const MergeSummary summary = merged(options(MergeKind::reconstruct)).summary;
  ASSERT_EQ(summary.layers.size(), 2U);
  EXPECT_EQ(summary.calibration_tokens, 96 * 32);
  for (const MergedLayer& layer : summary.layers) {
    EXPECT_GT(layer.subspace_error, layer.refit_error);
    EXPECT_GT(layer.refit_error, layer.error);
    EXPECT_GT(layer.error, 0);
    EXPECT_GT(layer.steps, 0);
  }
}

TEST_F(MergeModel, RefittingTakesNoSteps) {
  const MergeSummary summary = merged(options(MergeKind::refit)).summary;
  EXPECT_FALSE(summary.distillation);
  ASSERT_EQ(summary.layers.size(), 2U);
  for (const MergedLayer& layer : summary.layers) {
    EXPECT_GT(layer.subspace_error, layer.error);
    EXPECT_EQ(layer.refit_error, layer.error);
    EXPECT_EQ(layer.steps, 0);
    EXPECT_GT(layer.sink_error, 0);
    EXPECT_GT(layer.sink_mass_before, 0);
    EXPECT_NEAR(layer.sink_mass, layer.sink_mass_before, 0.5 * layer.sink_mass_before);
  }
}

TEST_F(MergeModel, AttentionScopeLeavesEverythingElseByteForByte) {
  MergeOptions attention = options(MergeKind::reconstruct);
  attention.reconstruct.scope = ReconstructScope::attention;
  const Model changed = merged(attention).model;
  int same = 0;
  int different = 0;
  for (const TensorView& tensor : model_->checkpoint().tensors()) {
    const bool is_attention = tensor.name.find("self_attn") != std::string::npos;
    const bool is_equal = bytes_of(changed, tensor.name) == bytes_of(*model_, tensor.name);
    EXPECT_EQ(is_equal, !is_attention) << tensor.name;
    (is_equal ? same : different) += 1;
  }
  EXPECT_GT(same, 0);
  EXPECT_GT(different, 0);
}

TEST_F(MergeModel, BlockScopeMovesTheMlpToo) {
  const Model changed = merged(options(MergeKind::reconstruct)).model;
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  EXPECT_NE(bytes_of(changed, name), bytes_of(*model_, name));
}

TEST_F(MergeModel, InterruptedMergeGoesOnWithItsFinishedLayers) {
  const MergeOptions reconstruct = options(MergeKind::reconstruct);
  const Model whole = merge_model(*model_, pairs(), calibration(), reconstruct, folder_ / "whole").model;
  int calls = 0;
  (void)merge_model(*model_, pairs(), calibration(), reconstruct, folder_ / "count",
                    [&](const ProgressEvent& progress) {
                      EXPECT_LE(progress.done, progress.total);
                      return ++calls > 0;
                    });
  constexpr std::int64_t kTokens = 96 * 32;
  const std::int64_t layer = work_per_layer(*model_, reconstruct, kTokens);
  const std::int64_t steps = 2 * layer + work_to_distill(*model_, kTokens);
  const std::int64_t rest = merge_work(*model_, reconstruct, kTokens) - steps;
  for (const std::int64_t reached : {layer * 3 / 2, steps + rest / 2, steps + rest * 3 / 4}) {
    SCOPED_TRACE(reached);
    const auto stop = [&](const ProgressEvent& progress) {
      return progress.phase != "merge" || progress.done < reached;
    };
    const bool in_second_layer = reached < 2 * layer;
    std::filesystem::remove_all(folder_ / "scratch");
    expect_error(ErrorKind::interrupted, "", [&] { (void)merged_in_scratch(reconstruct, stop); });
    EXPECT_TRUE(std::filesystem::exists(folder_ / "scratch" / "layer-0"));
    EXPECT_EQ(std::filesystem::exists(folder_ / "scratch" / "layer-1"), !in_second_layer);
    EXPECT_EQ(std::filesystem::exists(folder_ / "scratch" / "distilling"), !in_second_layer);
    int calls_again = 0;
    const MergeResult result = merged_in_scratch(reconstruct, [&](const ProgressEvent&) { return ++calls_again > 0; });
    EXPECT_LT(calls_again, calls);
    for (const TensorView& tensor : whole.checkpoint().tensors()) {
      EXPECT_EQ(bytes_of(result.model, tensor.name), bytes_of(whole, tensor.name)) << tensor.name;
    }
  }
}

TEST_F(MergeModel, DistillationBringsThePredictionsNearer) {
  MergeOptions with = options(MergeKind::reconstruct);
  with.reconstruct.distill_steps = 60;
  MergeOptions without = with;
  without.reconstruct.distill_steps = 0;
  const MergeResult reconstructed = merged(without);
  const MergeResult distilled = merged(with);
  EXPECT_FALSE(reconstructed.summary.distillation);
  ASSERT_TRUE(distilled.summary.distillation);
  EXPECT_LT(distilled.summary.distillation->after, distilled.summary.distillation->before);
  EXPECT_GT(distilled.summary.distillation->steps, 0);
  EXPECT_LT(divergence(distilled.model), divergence(reconstructed.model));
}

TEST_F(MergeModel, DistillationFollowsTheClosedFormToo) {
  const Model refitted = merged(options(MergeKind::refit)).model;
  MergeOptions alone = options(MergeKind::reconstruct);
  alone.reconstruct.steps = 0;
  alone.reconstruct.distill_steps = 200;
  alone.reconstruct.distill_rate = 3e-3;
  const MergeResult distilled = merged(alone);
  EXPECT_EQ(distilled.summary.layers.front().steps, 0);
  EXPECT_LT(divergence(distilled.model), 0.9 * divergence(refitted));

  static constexpr std::int64_t kMany = 1'000'000;
  EXPECT_EQ(fitted_tokens(*model_, alone, kMany), 16384);
  EXPECT_EQ(fitted_tokens(*model_, alone, 100), 100);
  EXPECT_EQ(fitted_tokens(*model_, options(MergeKind::reconstruct), kMany), kMany);
  EXPECT_EQ(fitted_tokens(*model_, options(MergeKind::refit), kMany), kMany);
  alone.memory = 1;
  EXPECT_EQ(fitted_tokens(*model_, alone, kMany), kMany);
}

TEST_F(MergeModel, NothingIsDistilledWhereTheLayersDoNotFitIntoMemory) {
  MergeOptions small = options(MergeKind::reconstruct);
  small.memory = 65536;
  MergeOptions without = options(MergeKind::reconstruct);
  without.reconstruct.distill_steps = 0;
  const MergeResult result = merged(small);
  EXPECT_FALSE(result.summary.distillation);
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  EXPECT_EQ(bytes_of(result.model, name), bytes_of(merged(without).model, name));
  const auto estimated = [&](const MergeOptions& asked) {
    return estimate_merge_seconds(*model_, {.layers = 1e-6, .head = 1e-7}, asked, 1000, 0);
  };
  EXPECT_EQ(estimated(small), estimated(without));
  EXPECT_GT(estimated(options(MergeKind::reconstruct)), estimated(without));
}

TEST_F(MergeModel, FinishedLayersOfAnotherMergeAreRefusedAndStay) {
  const MergeOptions before = options(MergeKind::subspace);
  (void)merged_in_scratch(before);
  sequences_.resize(4);
  expect_error(ErrorKind::invalid_argument, "holds layers that were merged otherwise; found another calibration",
               [&] { (void)merged_in_scratch(before); });
  MergeOptions other = before;
  other.seed = 1;
  other.kind = MergeKind::aligned;
  expect_error(ErrorKind::invalid_argument, "another calibration, kind, seed", [&] { (void)merged_in_scratch(other); });
  EXPECT_TRUE(std::filesystem::exists(folder_ / "scratch" / "layer-0"));
}

TEST_F(MergeModel, AFinishedMergeRunsNothing) {
  const MergeOptions reconstruct = options(MergeKind::reconstruct);
  (void)merged_in_scratch(reconstruct);
  const MergeResult again = merged_in_scratch(reconstruct, [](const ProgressEvent&) { return false; });
  EXPECT_EQ(again.summary.layers.size(), 2U);
  EXPECT_EQ(again.summary.calibration_tokens, 96 * 32);
}

TEST_F(MergeModel, ActivationsInAFileGiveTheSameResult) {
  MergeOptions spilled = options(MergeKind::reconstruct);
  spilled.reconstruct.distill_steps = 0;
  const Model in_memory = merged(spilled).model;
  spilled.memory = 1;
  const Model from_file = merge_model(*model_, pairs(), calibration(), spilled, folder_ / "spilled").model;
  for (const TensorView& tensor : in_memory.checkpoint().tensors()) {
    EXPECT_EQ(bytes_of(in_memory, tensor.name), bytes_of(from_file, tensor.name)) << tensor.name;
  }
}

TEST_F(MergeModel, ReconstructionWithoutCalibrationIsRefused) {
  sequences_.clear();
  expect_error(ErrorKind::invalid_argument, "needs calibration tokens",
               [&] { (void)merged(options(MergeKind::reconstruct)); });
}

TEST_F(MergeModel, OneHeadPerGroupChangesNothingUnlessReconstructed) {
  Plan plan = pairs();
  plan = Plan::of(std::vector(plan.layers.size(), Grouping::contiguous(4, 4)));
  for (const MergeKind kind : {MergeKind::mean, MergeKind::weighted, MergeKind::aligned, MergeKind::subspace}) {
    const Model same = merge_model(*model_, plan, calibration(), options(kind), new_folder()).model;
    for (const TensorView& tensor : model_->checkpoint().tensors()) {
      EXPECT_EQ(bytes_of(same, tensor.name), bytes_of(*model_, tensor.name)) << tensor.name;
    }
  }
}

TEST_F(MergeModel, CostsPredictWhichGroupingLosesLess) {
  const auto text = calibration();
  InputStatistics statistics(*model_, text, {});
  const auto costs = sharing_costs(*model_, MergeKind::subspace, statistics);
  ASSERT_EQ(costs.size(), 2U);
  Plan best = pairs();
  Plan worst = pairs();
  const std::vector<std::vector<int>> labels = {{0, 0, 1, 1}, {0, 1, 0, 1}, {0, 1, 1, 0}};
  for (std::size_t layer = 0; layer < costs.size(); ++layer) {
    const auto cost = [&](const std::vector<int>& label) {
      return grouping_cost(*costs[layer], Grouping::from_labels(label));
    };
    best.layers[layer].grouping = Grouping::from_labels(*std::ranges::min_element(labels, {}, cost));
    worst.layers[layer].grouping = Grouping::from_labels(*std::ranges::max_element(labels, {}, cost));
  }
  const auto loss = [&](const Plan& plan, const char* name) {
    return divergence(merge_model(*model_, plan, calibration(), options(MergeKind::subspace), folder_ / name).model);
  };
  EXPECT_LT(loss(best, "best"), loss(worst, "worst"));
}

TEST_F(MergeModel, MeasuredCostIsWhatALayerAddsToTheDivergenceOfTheConvertedModel) {
  const std::vector<TokenSequence> text = calibration();
  const std::size_t half = text.size() / 2;
  const std::span fitted = std::span(text).first(half);
  const std::span judged = std::span(text).subspan(half);
  MergeOptions refit = options(MergeKind::refit);
  const auto merged_by = [&](const Plan& plan) {
    return merge_model(*model_, plan, fitted, refit, new_folder()).model;
  };
  // The last layer of two: all that is before it is the converted model's.
  const std::vector<Grouping> groupings = {Grouping::contiguous(4, 1), Grouping::contiguous(4, 2),
                                           Grouping::from_labels(std::vector{0, 1, 1, 0})};
  std::vector<std::vector<std::int32_t>> rows;  // one token more: nothing is predicted after the last one
  std::vector<TokenSequence> windows;
  for (const TokenSequence& sequence : judged) {
    auto& row = rows.emplace_back(sequence.ids.begin(), sequence.ids.end());
    row.push_back(0);
  }
  for (const auto& row : rows) windows.push_back({row, 1, windows.size()});
  const auto divergence_with = [&](const Grouping& grouping) {
    Plan plan = pairs();
    plan.layers[1].grouping = grouping;
    return evaluate(merged_by(plan), &*model_, windows, {}).reference->kl_mean;
  };
  for (const ReconstructScope scope : {ReconstructScope::block, ReconstructScope::attention}) {
    refit.reconstruct.scope = scope;
    MeasuredCosts measured(*model_, merged_by(pairs()), fitted, judged, refit);
    const double of_all_heads = divergence_with(Grouping::contiguous(4, 4));
    const std::vector<double> costs = measured.measure(1, groupings);
    ASSERT_EQ(costs.size(), groupings.size());
    for (std::size_t i = 0; i < costs.size(); ++i) {
      EXPECT_NEAR(costs[i], std::max(0.0, divergence_with(groupings[i]) - of_all_heads), 2e-5) << i;
    }
    EXPECT_GT(costs[0], costs[1]);
  }

  // What is around the first layer counts too, and the order in which layers are asked for does not.
  MeasuredCosts measured(*model_, merged_by(pairs()), fitted, judged, refit);
  const std::vector<double> last = measured.measure(1, groupings);
  const std::vector<double> first = measured.measure(0, groupings);
  MeasuredCosts anew(*model_, merged_by(pairs()), fitted, judged, refit);
  EXPECT_EQ(anew.measure(0, groupings), first);
  EXPECT_EQ(anew.measure(1, groupings), last);
  MeasuredCosts elsewhere(*model_, merged_by(Plan::of({Grouping::contiguous(4, 2), Grouping::contiguous(4, 1)})),
                          fitted, judged, refit);
  EXPECT_NE(elsewhere.measure(0, groupings), first);
}

TEST_F(MergeModel, MeasuredCostsNeedTwoTexts) {
  const std::vector<TokenSequence> text = calibration();
  for (const bool fitted : {true, false}) {
    expect_error(ErrorKind::invalid_argument, "needs two or more sequences of calibration tokens", [&] {
      const std::vector<TokenSequence> none;
      (void)MeasuredCosts(*model_, Model::open(model_->path()), fitted ? text : none, fitted ? none : text, {});
    });
  }
}

TEST_F(MergeModel, CudaAgreesWithCpu) {
  if (gpu_count() == 0) GTEST_SKIP() << "no GPU that LibTorch can use";
  const ForwardOptions gpu = {.device = parse_device("cuda")};
  for (const MergeKind kind : {MergeKind::subspace, MergeKind::reconstruct}) {
    const double on_cpu = divergence(merged(options(kind)).model);
    MergeOptions there = options(kind);
    there.forward = gpu;
    const Model model = merge_model(*model_, pairs(), calibration(), there, new_folder()).model;
    EXPECT_NEAR(divergence(model), on_cpu, (kind == MergeKind::subspace ? 0.001 : 0.05) * on_cpu);
    std::vector<TokenSequence> windows;
    for (const auto& sequence : sequences_) windows.push_back({sequence, 1, windows.size()});
    EXPECT_NEAR(evaluate(model, nullptr, windows, {.forward = gpu}).cross_entropy,
                evaluate(model, nullptr, windows, {}).cross_entropy, 1e-3);
  }
}

TEST_F(MergeModel, CudaReconstructsInBf16AsWell) {
  if (gpu_count() == 0) GTEST_SKIP() << "no GPU that LibTorch can use";
  const double on_cpu = divergence(merged(options(MergeKind::reconstruct)).model);
  MergeOptions there = options(MergeKind::reconstruct);
  there.forward = {.device = parse_device("cuda"), .compute = Compute::bf16};
  EXPECT_NEAR(divergence(merged(there).model), on_cpu, 0.05 * on_cpu);
}

}  // namespace
}  // namespace qcqa
