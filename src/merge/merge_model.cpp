#include <ATen/ATen.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>

#include "merge/activations.hpp"
#include "merge/layer_conversion.hpp"
#include "merge/merge_heads.hpp"
#include "merge/merge_state.hpp"
#include "merge/reconstruction.hpp"
#include "merge/second_moment.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// One batch in this many is held back, but at most kMostHeldBack.
constexpr std::size_t kHoldBackEvery = 24;
constexpr std::size_t kMostHeldBack = 32;

/// Units of progress: a step of reconstruction counts as this many passes of one batch.
constexpr std::int64_t kUnitsPerPass = 1;
constexpr std::int64_t kUnitsPerStep = 12;

class ModelMerger {
 public:
  ModelMerger(const Model& model, const Plan& plan, CalibrationSequences calibration, const MergeOptions& options,
              const std::filesystem::path& scratch, const ProgressFn& progress)
      : model_(model),
        plan_(plan),
        options_(options),
        progress_(progress),
        spec_(read_forward_spec(model)),
        state_(model, plan, calibration, options, scratch) {
    if (!calibration.empty() && uses_calibration(options.kind)) {
      transformer_.emplace(model, Runtime::of(options.forward));
      streams_.emplace(*transformer_, calibration);
      make_room(scratch);
    }
  }

  MergeResult run() {
    MergeSummary summary;
    summary.kind = options_.kind;
    summary.keys_pooled = spec_.head_norm && uses_calibration(options_.kind);
    if (streams_) {
      summary.calibration_tokens = streams_->tokens();
      streams_->embed(original_);
      if (reconstructs()) converted_.copy_(original_);
    }
    for (int layer = 0; layer < static_cast<int>(model_.layers().size()); ++layer) {
      if (streams_) {
        merge_layer_with_streams(layer);
      } else if (!state_.is_finished(layer)) {
        const AttentionLayer& attention = model_.layers()[static_cast<std::size_t>(layer)];
        const AttentionWeights weights = read_attention_weights(attention);
        const AttentionWeights merged = merge_heads(weights, grouping(layer), options_.kind, key_freedom(spec_),
                                                    isotropic_moment(model_, layer, spec_, weights.inputs()));
        state_.finish(layer, attention_tensors(model_, attention, merged), {.layer = layer});
      }
      report((layer + 1) * units_per_layer());
    }
    if (reconstructs()) summary.layers = state_.layers();
    return {state_.merged_model(), std::move(summary)};
  }

 private:
  [[nodiscard]] bool reconstructs() const { return options_.kind == MergeKind::reconstruct; }
  [[nodiscard]] const Grouping& grouping(int layer) const { return plan_.layers[static_cast<std::size_t>(layer)]; }

  void make_room(const std::filesystem::path& scratch) {
    const std::int64_t width = transformer_->hidden_size();
    const std::int64_t streams = reconstructs() ? 3 : 1;
    const bool in_file =
        static_cast<std::uint64_t>(streams_->tokens() * width * streams) * sizeof(float) > options_.memory;
    const auto room = [&] { return make_activations(streams_->tokens(), width, in_file, scratch); };
    original_ = room();
    if (!reconstructs()) return;
    converted_ = room();
    targets_ = room();
  }

  [[nodiscard]] std::int64_t units_per_layer() const {
    if (!streams_) return 1;
    const auto passes = static_cast<std::int64_t>(streams_->batches().size()) * (reconstructs() ? 4 : 2);
    return passes * kUnitsPerPass + (reconstructs() ? options_.reconstruct.steps * kUnitsPerStep : 0);
  }

  void report(std::int64_t done) const {
    const auto total = static_cast<std::int64_t>(model_.layers().size()) * units_per_layer();
    if (progress_ && !progress_({"merge", done, total})) {
      throw Error(ErrorKind::interrupted, "merge", "interrupted; --resume goes on with the layers that are done");
    }
  }

  void merge_layer_with_streams(int layer) {
    const LayerWeights original = transformer_->load(layer);
    const std::int64_t begin = layer * units_per_layer();
    std::int64_t passed = 0;
    const auto pass = [&](const LayerWeights& weights, const at::Tensor& hidden) {
      BatchProgress meter([&](std::int64_t rows) {
        return !progress_ || progress_({"merge", begin + passed + rows * static_cast<std::int64_t>(streams_->batches().size()) / streams_->tokens() * kUnitsPerPass,
                                        static_cast<std::int64_t>(model_.layers().size()) * units_per_layer()});
      });
      streams_->advance(weights, layer, hidden, meter);
      passed += static_cast<std::int64_t>(streams_->batches().size()) * kUnitsPerPass;
      report(begin + passed);
    };
    if (!reconstructs()) {
      if (!state_.is_finished(layer)) finish_subspace(layer, original);
      pass(original, original_);
      return;
    }
    targets_.copy_(original_);
    pass(original, targets_);
    if (!state_.is_finished(layer)) finish_reconstruction(layer, original, begin + passed);
    // The weights as they were rounded: later layers make up for that too.
    const Transformer written(state_.model_with(layer), transformer_->runtime());
    pass(written.load(layer), converted_);
    original_.copy_(targets_);
  }

  void finish_subspace(int layer, const LayerWeights& original) {
    const AttentionLayer& attention = model_.layers()[static_cast<std::size_t>(layer)];
    const AttentionWeights weights = read_attention_weights(attention);
    const AttentionWeights merged = merge_heads(weights, grouping(layer), options_.kind, key_freedom(spec_),
                                                second_moment(*streams_, original_, original, weights.inputs()));
    state_.finish(layer, attention_tensors(model_, attention, merged), {.layer = layer});
  }

  void finish_reconstruction(int layer, const LayerWeights& original, std::int64_t units_before) {
    const AttentionLayer& attention = model_.layers()[static_cast<std::size_t>(layer)];
    const AttentionWeights weights = read_attention_weights(attention);
    const AttentionWeights merged = merge_heads(weights, grouping(layer), MergeKind::subspace, key_freedom(spec_),
                                                second_moment(*streams_, original_, original, weights.inputs()));
    LayerWeights compact = compact_layer(original, merged, grouping(layer), transformer_->runtime());
    LayerTask task{.layer = layer,
                   .original = &original,
                   .inputs = converted_,
                   .original_inputs = original_,
                   .targets = targets_,
                   .fitted = {},
                   .held_back = {}};
    divide_batches(task);
    MergedLayer summary{.layer = layer};
    summary.subspace_error = output_error(*streams_, task, compact, task.held_back);
    refit_output(*streams_, task, compact);
    summary.refit_error = output_error(*streams_, task, compact, task.held_back);
    summary.steps = reconstruct_layer(*streams_, task, options_.reconstruct, options_.seed + static_cast<std::uint64_t>(layer),
                                      compact, [&](int step) { report(units_before + step * kUnitsPerStep); });
    summary.error = output_error(*streams_, task, compact, task.held_back);
    std::vector<TensorBytes> tensors =
        attention_tensors(model_, attention, expand_layer(compact, weights, grouping(layer)));
    if (options_.reconstruct.scope == ReconstructScope::block) {
      std::ranges::move(surrounding_tensors(model_, layer, spec_, compact), std::back_inserter(tensors));
    }
    state_.finish(layer, tensors, summary);
  }

  void divide_batches(LayerTask& task) const {
    const std::size_t count = streams_->batches().size();
    const std::size_t every = std::max(kHoldBackEvery, (count + kMostHeldBack - 1) / kMostHeldBack);
    for (std::size_t i = 0; i < count; ++i) (i % every == every / 2 || count == 1 ? task.held_back : task.fitted).push_back(i);
    if (task.held_back.empty()) task.held_back = task.fitted;
    if (task.fitted.empty()) task.fitted = task.held_back;
  }

  const Model& model_;
  const Plan& plan_;
  const MergeOptions& options_;
  const ProgressFn& progress_;
  ForwardSpec spec_;
  MergeState state_;
  std::optional<Transformer> transformer_;
  std::optional<LayerStreams> streams_;
  at::Tensor original_, converted_, targets_;
};

}  // namespace

bool uses_calibration(MergeKind kind) noexcept { return kind == MergeKind::aligned || kind == MergeKind::subspace || needs_calibration(kind); }
bool needs_calibration(MergeKind kind) noexcept { return kind == MergeKind::reconstruct; }

MergeResult merge_model(const Model& model, const Plan& plan, CalibrationSequences calibration, const MergeOptions& options,
                        const std::filesystem::path& scratch, const ProgressFn& progress) {
  if (calibration.empty() && needs_calibration(options.kind)) {
    throw Error(ErrorKind::invalid_argument, "--merge reconstruct", "needs calibration tokens", "none",
                "Add --calibrate self, or --calibrate with a text.");
  }
  const auto begin = std::chrono::steady_clock::now();
  try {
    MergeResult result = ModelMerger(model, plan, calibration, options, scratch, progress).run();
    result.summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return result;
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::io, options.forward.device.name(), "LibTorch could not do the computation",
                error.what_without_backtrace());
  }
}

}  // namespace qcqa
