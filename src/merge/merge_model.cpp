#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "fitness/merge_heads.hpp"
#include "forward/grouped_layer.hpp"
#include "merge/distill_model.hpp"
#include "merge/fitted_tensors.hpp"
#include "merge/merge_state.hpp"
#include "merge/reconstruction.hpp"
#include "merge/refit.hpp"
#include "merge/sinks.hpp"
#include "merge/work.hpp"
#include "model/attention_facts.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/merge/pooled_model.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/activations.hpp"
#include "statistics/layer_statistics.hpp"
#include "statistics/second_moment.hpp"

namespace qcqa {
namespace {

/// What a fit left in float32, in the type that is computed in.
LayerWeights in_type(LayerWeights layer, const Runtime& runtime) {
  for_each_linear(layer, [&](Linear& linear) {
    for (at::Tensor* tensor : {&linear.weight, &linear.bias}) {
      if (tensor->defined()) *tensor = tensor->to(runtime.options());
    }
  });
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
      require_scope(model, options.reconstruct.scope);
      transformer_.emplace(model, Runtime::of(options.forward));
      if (distills_) distill_runner_.emplace(*transformer_, calibration);
      runner_.emplace(*transformer_, evenly_spread(calibration, fitted_tokens(model, options, tokens_)));
    }
    work_ = layers() * work_of_layer() + distillation_work(model, options, tokens_);
  }

  MergeResult run() {
    MergeSummary summary;
    summary.kind = options_.kind;
    summary.keys_pooled = has_head_norm(model_.settings()) && method_.text != TextUse::none;
    summary.calibration_tokens = tokens_;
    if (!state_.has_layers()) merge_layers();
    if (distills_ && !state_.distillation().result()) distill();
    if (distills_) summary.distillation = state_.distillation().result();
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
        const auto moment_of = [&](std::int64_t inputs) { return statistics_.layers().second_moment(layer, inputs); };
        state_.finish(layer, attention_tensors(model_, attention(layer), merged_heads(layer, moment_of)),
                      {.layer = layer});
      }
      report((layer + 1) * work_of_layer());
    }
    for (at::Tensor* stream : {&original_, &converted_, &targets_}) stream->reset();
  }

  [[nodiscard]] int layers() const { return static_cast<int>(model_.layers().size()); }
  [[nodiscard]] const AttentionLayer& attention(int layer) const {
    return model_.layers()[static_cast<std::size_t>(layer)];
  }
  [[nodiscard]] const Grouping& grouping(int layer) const { return plan_.grouping(layer); }
  [[nodiscard]] const KeyFreedom& freedom(int layer) const { return freedoms_[static_cast<std::size_t>(layer)]; }

  void make_room() {
    const std::array streams = {&original_, &converted_, &targets_};
    const std::int64_t width = transformer_->hidden_size();
    const auto bytes = static_cast<std::uint64_t>(runner_->tokens() * width) * streams.size() * sizeof(float);
    for (at::Tensor* stream : streams) {
      *stream = make_activations(runner_->tokens(), width, bytes > options_.memory, scratch_);
    }
  }

  [[nodiscard]] std::int64_t work_of_layer() const {
    return method_.is_fitted ? work_per_layer(model_, options_, runner_->tokens()) : 1;
  }

  void report(std::int64_t done) const {
    if (progress_ && !progress_({"merge", done, work_})) {
      throw Error(ErrorKind::interrupted, "merge", "interrupted; the layers that are done are kept");
    }
  }

  void fit_layer(int layer) {
    const LayerWeights original = transformer_->load(layer);
    const std::int64_t begin = layer * work_of_layer();
    runner_->lead_in(layer, {original_, converted_});
    targets_.copy_(original_);
    pass(original, layer, targets_, begin);
    if (!state_.is_finished(layer)) finish_reconstruction(layer, original, begin + runner_->tokens());
    // The weights as they were rounded: later layers make up for that too.
    const Transformer written(state_.model_with(layer), transformer_->runtime());
    pass(written.load(layer), layer, converted_, begin + work_of_layer() - runner_->tokens());
    original_.copy_(targets_);
  }

  /// All tokens through a layer, in place. @param done  before it
  void pass(const LayerWeights& weights, int layer, const at::Tensor& hidden, std::int64_t done) const {
    BatchProgress meter([&](std::int64_t rows) { return !progress_ || progress_({"merge", done + rows, work_}); });
    runner_->advance(weights, layer, hidden, meter);
  }

  /// By the weights and their inputs' second moment alone.
  /// @param moment_of  how many inputs there are -> their second moment
  template <typename MomentOf>
  [[nodiscard]] AttentionWeights merged_heads(int layer, const MomentOf& moment_of) const {
    const AttentionWeights weights = read_attention_weights(attention(layer));
    return merge_heads(weights, grouping(layer), options_.kind, freedom(layer), moment_of(weights.inputs()));
  }

  void finish_reconstruction(int layer, const LayerWeights& original, std::int64_t done) {
    const AttentionWeights merged =
        merged_heads(layer, [&](std::int64_t inputs) { return second_moment(*runner_, converted_, original, inputs); });
    LayerWeights compact = compact_layer(original, merged, grouping(layer), transformer_->runtime());
    const LayerTask task = layer_task(*runner_, layer, original, converted_, original_, targets_);
    MergedLayer summary{.layer = layer};
    const auto error = [&](const LayerWeights& weights) {
      return output_error(*runner_, task, weights, task.held_back);
    };
    summary.subspace_error = error(compact).all;
    refit_output(*runner_, task, compact);
    if (options_.reconstruct.scope == ReconstructScope::block) refit_mlp(*runner_, task, compact);
    OutputError reached = error(compact);
    summary.refit_error = reached.all;
    done += work_to_refit(model_, options_, runner_->tokens()) - 2 * runner_->tokens();
    report(done);
    LayerWeights computed = compact;
    if (options_.reconstruct.steps > 0) {
      const Fit fit = reconstruct_layer(*runner_, task, options_.reconstruct, has_biases(attention(layer)),
                                        options_.seed + static_cast<std::uint64_t>(layer), compact,
                                        [&, steps = work_of_steps(options_, runner_->tokens())](int step) {
                                          report(done + steps * step / options_.reconstruct.steps);
                                        });
      summary.steps = fit.steps;
      computed = in_type(compact, transformer_->runtime());
      reached = error(computed);
    }
    summary.error = reached.all;
    summary.sink_error = reached.sinks;
    summary.sink_mass_before = sink_mass(*runner_, task.sinks, original, layer, original_, task.held_back);
    summary.sink_mass = sink_mass(*runner_, task.sinks, computed, layer, converted_, task.held_back);
    state_.finish(layer, fitted_tensors(model_, layer, compact, grouping(layer), options_.reconstruct.scope), summary);
  }

  void distill() {
    const Model reconstructed = state_.merged_model();
    LayersToDistill task{
        .model = reconstructed, .groupings = {}, .own = *distill_runner_, .original = *distill_runner_};
    for (const LayerPlan& layer : plan_.layers) task.groupings.push_back(layer.grouping);
    transformer_->load_head();
    const std::int64_t begin = layers() * work_of_layer();
    distill_layers(task, options_, scratch_, state_.distillation(), [&](std::int64_t done) {
      return !progress_ || progress_({"merge", begin + done, work_});
    });
  }

  const Model& model_;
  const Plan& plan_;
  const MergeOptions& options_;
  const MergeMethod& method_;
  InputStatistics& statistics_;
  std::int64_t tokens_ = 0;  ///< of calibration
  std::int64_t work_ = 0;    ///< what progress counts to
  const ProgressFn& progress_;
  std::vector<KeyFreedom> freedoms_;
  bool distills_;
  std::filesystem::path scratch_;
  MergeState state_;
  std::optional<Transformer> transformer_;
  std::optional<LayerRunner> runner_;          ///< of the tokens that layers are fitted on
  std::optional<LayerRunner> distill_runner_;  ///< of all
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
