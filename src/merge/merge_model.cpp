#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "fitness/merge_heads.hpp"
#include "forward/grouped_layer.hpp"
#include "merge/distillation.hpp"
#include "merge/merge_state.hpp"
#include "merge/reconstruction.hpp"
#include "merge/refit.hpp"
#include "merge/sinks.hpp"
#include "merge/surrounding_tensors.hpp"
#include "model/attention_facts.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/merge/pooled_model.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/activations.hpp"
#include "statistics/layer_statistics.hpp"
#include "statistics/second_moment.hpp"

namespace qcqa {
namespace {

/// One batch in this many is held back, but at most kMostHeldBack.
constexpr std::size_t kHoldBackEvery = 24;
constexpr std::size_t kMostHeldBack = 32;

/// Units of progress: a step of reconstruction counts as this many passes of one batch.
constexpr std::int64_t kUnitsPerPass = 1;
constexpr std::int64_t kUnitsPerStep = 12;

/// A bias that the checkpoint has no tensor for could not be stored.
bool has_biases(const AttentionLayer& layer) {
  return std::ranges::none_of(std::array{&layer.query, &layer.key, &layer.value},
                              [](const std::vector<HeadRows>* heads) { return heads->front().bias.empty(); });
}

/// What a fit left in float32, in the type that is computed in.
LayerWeights in_type(LayerWeights layer, const Runtime& runtime) {
  for (Linear* linear : {&layer.query_key_value, &layer.output, &layer.gate_up, &layer.down}) {
    for (at::Tensor* tensor : {&linear->weight, &linear->bias}) {
      if (tensor->defined()) *tensor = tensor->to(runtime.options());
    }
  }
  return layer;
}

InputStatistics statistics_of(const Model& model, std::span<const TokenSequence> calibration,
                              const MergeOptions& options, const std::filesystem::path& scratch,
                              const ProgressFn& progress) {
  if (calibration.empty() || merge_method(options.kind).text == TextUse::none) return InputStatistics(model);
  return {model, calibration, options.forward, scratch / "statistics", options.memory, progress};
}

class ModelMerger {
 public:
  ModelMerger(const Model& model, const Plan& plan, std::span<const TokenSequence> calibration,
              InputStatistics& statistics, const MergeOptions& options, const std::filesystem::path& scratch,
              const ProgressFn& progress)
      : model_(model),
        plan_(plan),
        options_(options),
        method_(merge_method(options.kind)),
        statistics_(statistics),
        progress_(progress),
        freedoms_(key_freedoms(model.settings())),
        distills_(fits_distillation(model, options)),
        scratch_(scratch),
        state_(model, plan, calibration, options, scratch) {
    if (method_.text != TextUse::none) {
      for (const TokenSequence& sequence : calibration) tokens_ += static_cast<std::int64_t>(sequence.ids.size());
    }
    if (method_.is_fitted) {
      transformer_.emplace(model, Runtime::of(options.forward));
      runner_.emplace(*transformer_, calibration);
    }
  }

  MergeResult run() {
    MergeSummary summary;
    summary.kind = options_.kind;
    summary.keys_pooled = has_head_norm(model_.settings()) && method_.text != TextUse::none;
    summary.calibration_tokens = tokens_;
    if (!state_.is_complete(distills_)) merge_layers();
    if (distills_) summary.distillation = state_.distillation();
    if (method_.is_fitted) summary.layers = state_.layers();
    return {state_.merged_model(), std::move(summary)};
  }

 private:
  void merge_layers() {
    if (method_.is_fitted) {
      make_room();
      runner_->embed(original_);
      converted_.copy_(original_);
    }
    for (int layer = 0; layer < layers(); ++layer) {
      if (method_.is_fitted) {
        fit_layer(layer);
      } else if (!state_.is_finished(layer)) {
        state_.finish(layer,
                      attention_tensors(model_, attention(layer),
                                        merged_heads(layer,
                                                     [&](std::int64_t inputs) {
                                                       return statistics_.layers().second_moment(layer, inputs);
                                                     })),
                      {.layer = layer});
      }
      report((layer + 1) * units_per_layer());
    }
    if (distills_) finish_distillation();
  }

  [[nodiscard]] int layers() const { return static_cast<int>(model_.layers().size()); }
  [[nodiscard]] const AttentionLayer& attention(int layer) const {
    return model_.layers()[static_cast<std::size_t>(layer)];
  }
  [[nodiscard]] const Grouping& grouping(int layer) const { return plan_.grouping(layer); }
  [[nodiscard]] const KeyFreedom& freedom(int layer) const { return freedoms_[static_cast<std::size_t>(layer)]; }

  void make_room() {
    const std::int64_t width = transformer_->hidden_size();
    static constexpr std::int64_t kStreams = 3;
    const bool in_file =
        static_cast<std::uint64_t>(runner_->tokens() * width * kStreams) * sizeof(float) > options_.memory;
    const auto room = [&] { return make_activations(runner_->tokens(), width, in_file, scratch_); };
    original_ = room();
    converted_ = room();
    targets_ = room();
  }

  [[nodiscard]] std::int64_t units_per_layer() const {
    if (!method_.is_fitted) return 1;
    return static_cast<std::int64_t>(runner_->batches().size()) * kPassesToRefit * kUnitsPerPass +
           options_.reconstruct.steps * kUnitsPerStep;
  }

  [[nodiscard]] std::int64_t units_per_distill_step() const { return 2 * kUnitsPerStep * layers(); }

  [[nodiscard]] std::int64_t units() const {
    return layers() * units_per_layer() +
           (distills_ ? options_.reconstruct.distill_steps * units_per_distill_step() : 0);
  }

  void report(std::int64_t done) const {
    if (progress_ && !progress_({"merge", done, units()})) {
      throw Error(ErrorKind::interrupted, "merge", "interrupted; the layers that are done are kept");
    }
  }

  void fit_layer(int layer) {
    const LayerWeights original = transformer_->load(layer);
    const std::int64_t begin = layer * units_per_layer();
    std::int64_t passed = 0;
    const auto pass = [&](const LayerWeights& weights, const at::Tensor& hidden) {
      BatchProgress meter([&](std::int64_t rows) {
        const auto batches = static_cast<std::int64_t>(runner_->batches().size());
        return !progress_ ||
               progress_({"merge", begin + passed + rows * batches / runner_->tokens() * kUnitsPerPass, units()});
      });
      runner_->advance(weights, layer, hidden, meter);
      passed += static_cast<std::int64_t>(runner_->batches().size()) * kUnitsPerPass;
      report(begin + passed);
    };
    targets_.copy_(original_);
    pass(original, targets_);
    if (!state_.is_finished(layer)) finish_reconstruction(layer, original, begin + passed);
    // The weights as they were rounded: later layers make up for that too.
    const Transformer written(state_.model_with(layer), transformer_->runtime());
    pass(written.load(layer), converted_);
    original_.copy_(targets_);
  }

  /// By the weights and their inputs' second moment alone.
  /// @param moment_of  how many inputs there are -> their second moment
  template <typename MomentOf>
  [[nodiscard]] AttentionWeights merged_heads(int layer, const MomentOf& moment_of) const {
    const AttentionWeights weights = read_attention_weights(attention(layer));
    return merge_heads(weights, grouping(layer), options_.kind, freedom(layer), moment_of(weights.inputs()));
  }

  void finish_reconstruction(int layer, const LayerWeights& original, std::int64_t units_before) {
    const AttentionWeights merged =
        merged_heads(layer, [&](std::int64_t inputs) { return second_moment(*runner_, converted_, original, inputs); });
    LayerWeights compact = compact_layer(original, merged, grouping(layer), transformer_->runtime());
    const at::Tensor sinks = find_sinks(*runner_, targets_);
    LayerTask task{.layer = layer,
                   .original = &original,
                   .inputs = converted_,
                   .original_inputs = original_,
                   .targets = targets_,
                   .sinks = sinks,
                   .importance = importance_of(sinks),
                   .fitted = {},
                   .held_back = {}};
    divide_batches(task.fitted, task.held_back);
    MergedLayer summary{.layer = layer};
    const auto error = [&](const LayerWeights& weights) {
      return output_error(*runner_, task, weights, task.held_back);
    };
    summary.subspace_error = error(compact).all;
    refit_output(*runner_, task, compact);
    if (options_.reconstruct.scope == ReconstructScope::block) refit_mlp(*runner_, task, compact);
    OutputError reached = error(compact);
    summary.refit_error = reached.all;
    LayerWeights computed = compact;
    if (options_.reconstruct.steps > 0) {
      const Fit fit = reconstruct_layer(*runner_, task, options_.reconstruct, has_biases(attention(layer)),
                                        options_.seed + static_cast<std::uint64_t>(layer), compact,
                                        [&](int step) { report(units_before + step * kUnitsPerStep); });
      summary.steps = fit.steps;
      computed = in_type(compact, transformer_->runtime());
      reached = error(computed);
    }
    summary.error = reached.all;
    summary.sink_error = reached.sinks;
    summary.sink_mass_before = sink_mass(*runner_, sinks, original, layer, original_, task.held_back);
    summary.sink_mass = sink_mass(*runner_, sinks, computed, layer, converted_, task.held_back);
    state_.finish(layer, fitted_tensors(layer, compact), summary);
  }

  void finish_distillation() {
    const Model reconstructed = state_.merged_model();
    const Transformer written(reconstructed, transformer_->runtime());
    std::vector<LayerWeights> compact;
    std::vector<bool> biases;
    for (int layer = 0; layer < layers(); ++layer) {
      const AttentionWeights heads = read_attention_weights(reconstructed.layers()[static_cast<std::size_t>(layer)]);
      compact.push_back(compact_layer(written.load(layer), heads, grouping(layer), transformer_->runtime()));
      biases.push_back(has_biases(attention(layer)));
    }
    runner_->embed(converted_);
    transformer_->load_head();
    DistillationData task{.embedded = converted_, .targets = original_, .fitted = {}, .held_back = {}};
    divide_batches(task.fitted, task.held_back);
    const std::int64_t begin = layers() * units_per_layer();
    const Distillation distillation =
        distill(*runner_, task, options_.reconstruct, biases, options_.seed, compact, state_.distill_checkpoints(),
                [&](int step) { report(begin + step * units_per_distill_step()); });
    std::vector<TensorBytes> tensors;
    for (int layer = 0; layer < layers(); ++layer) {
      std::ranges::move(fitted_tensors(layer, compact[static_cast<std::size_t>(layer)]), std::back_inserter(tensors));
    }
    state_.finish(tensors, distillation);
  }

  /// What reconstruction may have changed.
  [[nodiscard]] std::vector<TensorBytes> fitted_tensors(int layer, const LayerWeights& compact) const {
    std::vector<TensorBytes> tensors = attention_tensors(
        model_, attention(layer), expand_layer(compact, read_attention_weights(attention(layer)), grouping(layer)));
    if (options_.reconstruct.scope == ReconstructScope::block) {
      std::ranges::move(surrounding_tensors(model_, layer, compact), std::back_inserter(tensors));
    }
    return tensors;
  }

  void divide_batches(std::vector<std::size_t>& fitted, std::vector<std::size_t>& held_back) const {
    const std::size_t count = runner_->batches().size();
    const std::size_t every = std::max(kHoldBackEvery, (count + kMostHeldBack - 1) / kMostHeldBack);
    for (std::size_t i = 0; i < count; ++i) (i % every == every / 2 || count == 1 ? held_back : fitted).push_back(i);
    if (held_back.empty()) held_back = fitted;
    if (fitted.empty()) fitted = held_back;
  }

  const Model& model_;
  const Plan& plan_;
  const MergeOptions& options_;
  const MergeMethod& method_;
  InputStatistics& statistics_;
  std::int64_t tokens_ = 0;  ///< of calibration
  const ProgressFn& progress_;
  std::vector<KeyFreedom> freedoms_;
  bool distills_;
  std::filesystem::path scratch_;
  MergeState state_;
  std::optional<Transformer> transformer_;
  std::optional<LayerRunner> runner_;
  at::Tensor original_, converted_, targets_;
};

}  // namespace

const ComparedMerge& MergeLadder::best() const {
  const std::span<const ComparedMerge> all = merges();
  return *std::ranges::min_element(all, {}, &ComparedMerge::perplexity);
}

double MergeLadder::nats_above(const ComparedMerge& merge) const {
  return std::log(merge.perplexity / rungs.front().perplexity);
}

MergeOptions in_effect(const MergeOptions& options) {
  MergeOptions used = options;
  if (!merge_method(options.kind).takes_steps) used.reconstruct.steps = used.reconstruct.distill_steps = 0;
  return used;
}

MergeResult merge_model(const Model& model, const Plan& plan, std::span<const TokenSequence> calibration,
                        const MergeOptions& options, const std::filesystem::path& scratch, const ProgressFn& progress,
                        InputStatistics* statistics) {
  const MergeMethod& method = merge_method(options.kind);
  const MergeOptions used = in_effect(options);
  if (calibration.empty() && method.text == TextUse::needed) {
    throw Error(ErrorKind::invalid_argument, "--merge " + std::string(method.name), "needs calibration tokens", "none",
                "Add --calibrate self, or --calibrate with a text.");
  }
  if (method.pooled != Pooled::no) return {pooled_model(model, plan, method.pooled), {.kind = options.kind}};
  const auto begin = std::chrono::steady_clock::now();
  InputStatistics own = statistics_of(model, calibration, options, scratch, progress);
  const bool uses_given = statistics != nullptr && method.text != TextUse::none;
  MergeResult result =
      ModelMerger(model, plan, calibration, uses_given ? *statistics : own, used, scratch, progress).run();
  result.summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return result;
}

}  // namespace qcqa
