#include "qcqa/merge/estimate.hpp"

#include <ATen/ATen.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <vector>

#include "merge/reconstruction.hpp"
#include "merge/work.hpp"
#include "qcqa/forward/runnable.hpp"
#include "statistics/layer_runner.hpp"
#include "statistics/second_moment.hpp"

namespace qcqa {
namespace {

/// What a sampled token takes, in passes; and reading all weights for one token more of every sequence.
constexpr double kPassesToSample = 1.3, kPassesToReadWeights = 36;
/// What is run: a batch for each thread.
constexpr std::int64_t kTokens = 256;
constexpr std::int64_t kStepTokens = ReconstructOptions{}.step_tokens;

/// The least of several runs, unless one takes long: others may want the machine too.
double seconds_of(const auto& work, double enough) {
  using Clock = std::chrono::steady_clock;
  static constexpr int kMostRuns = 50;
  double least = 0;
  double all = 0;
  for (int run = 0; run == 0 || (all < enough && run < kMostRuns); ++run) {
    const auto begin = Clock::now();
    work();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    least = run == 0 ? seconds : std::min(least, seconds);
    all += seconds;
  }
  return least;
}

/// A token of steps with the gradients of all weights, on as many tokens as steps take.
double seconds_of_step_token(const LayerRunner& runner, int index, const LayerWeights& layer, const at::Tensor& hidden,
                             double enough) {
  const LayerTask task{.layer = index,
                       .original = &layer,
                       .inputs = hidden,
                       .original_inputs = hidden,
                       .targets = hidden,
                       .sinks = {},
                       .importance = at::ones({runner.tokens()}),
                       .fitted = {},
                       .held_back = {}};
  LayerWeights fitted = layer;
  const ReconstructScope scope = layer.experts ? ReconstructScope::attention : ReconstructScope::block;
  LayerOptimizer optimizer(fitted, scope, false, ReconstructOptions{}.learning_rate);
  std::vector<std::size_t> all(runner.batches().size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  BatchOrder order(runner, all, kStepTokens, 0);
  const auto& batches = order.next();
  static constexpr double kNoRate = 0;  // weights that stay are as fast as others
  const auto step = [&] { take_step(runner, task, fitted, batches, kNoRate, optimizer); };
  return seconds_of(step, enough) / static_cast<double>(row_count(batches));
}

/// Of the caches in which text is made up.
std::int64_t cache_bytes_per_token(const Model& model) {
  std::int64_t entries = 0;
  for (const AttentionLayer& layer : model.layers()) entries += std::int64_t{2} * layer.kv_heads * layer.head_dim;
  return entries * static_cast<std::int64_t>(sizeof(float));
}

/// Sequences of so many tokens that are made up together.
std::int64_t together_of(const Model& model, std::int64_t sampled) {
  return std::clamp<std::int64_t>(sampled / calibration_context(model), 1, sampled_together(model));
}

/// All of a model's layers and its output matrix, caches, and logits with their probabilities.
std::uint64_t sampling_bytes(const Model& model, std::int64_t sampled) {
  if (sampled == 0) return 0;
  const std::int64_t together = together_of(model, sampled);
  const std::int64_t numbers = static_cast<std::int64_t>(layer_parameters(model) + head_entries(model)) +
                               3 * together * model.settings().shape().vocabulary;
  return static_cast<std::uint64_t>(numbers) * sizeof(float) +
         static_cast<std::uint64_t>(together * calibration_context(model) * cache_bytes_per_token(model));
}

/// Streams of so many tokens, where they are not in a file.
std::uint64_t stream_bytes(const Model& model, const MergeOptions& options, std::int64_t tokens, std::int64_t streams) {
  const auto bytes = static_cast<std::uint64_t>(tokens * model.layers().front().hidden_size * streams) * sizeof(float);
  return bytes > options.memory ? 0 : bytes;
}

/// Of the largest layer's fit in closed form: weights as they are, as they become and as they are written, and least
/// squares for the projection with most inputs (sums of both kinds of tokens, a copy, its factor, a batch's).
std::uint64_t fit_bytes(const Model& model, const MergeOptions& options, std::uint64_t of_layer) {
  const AttentionLayer& layer = model.layers().front();
  std::uint64_t inputs = static_cast<std::uint64_t>(layer.query_heads * layer.head_dim);
  if (options.reconstruct.scope == ReconstructScope::block)
    inputs = std::max(inputs, static_cast<std::uint64_t>(model.settings().shape().mlp_width));
  const std::uint64_t numbers = inputs * (5 * inputs + 4 * static_cast<std::uint64_t>(layer.hidden_size));
  return 3 * of_layer + numbers * sizeof(double);
}

}  // namespace

ModelSpeed measure_speed(const Model& model, const ForwardOptions& options, double seconds) {
  const Transformer transformer(model, Runtime::of(options));
  const ForwardSpec& spec = transformer.spec();
  const std::int64_t length = spec.max_positions > 0 ? std::min<std::int64_t>(kTokens, spec.max_positions) : kTokens;
  const std::vector<std::int32_t> sequence(static_cast<std::size_t>(length), 0);
  const std::int64_t count = (std::max(omp_get_max_threads() * kTokens, kStepTokens) + length - 1) / length;
  const std::vector<TokenSequence> sequences(static_cast<std::size_t>(count), TokenSequence{.ids = sequence});
  const LayerRunner runner(transformer, sequences);
  const at::Tensor hidden = at::empty({runner.tokens(), transformer.hidden_size()});
  runner.embed(hidden);
  const auto with_experts =
      std::ranges::find_if(model.layers(), [&](const AttentionLayer& layer) { return spec.has_experts(layer.place); });
  const int index = with_experts == model.layers().end() ? 0 : with_experts->layer;
  LayerWeights layer = transformer.load(index);
  const auto advance = [&] {
    BatchProgress meter(nullptr);
    runner.advance(layer, index, hidden, meter);
  };
  // Nearly all of the time goes into matrix products.
  std::int64_t entries = 0;
  for_each_linear(layer, [&](const Linear& linear) { entries += linear.weight.numel(); });
  if (layer.experts) entries -= spec.experts->idle_entries(transformer.hidden_size());
  const double once = seconds_of(advance, seconds);
  const double pass = once / static_cast<double>(runner.tokens());
  // Layers without heads take about as long as those with some.
  ModelSpeed speed = {.layers = pass * static_cast<double>(model.settings().shape().layers),
                      .head = pass * static_cast<double>(transformer.vocabulary() * transformer.hidden_size()) /
                              static_cast<double>(entries)};
  // Not of a large layer: a step takes several copies of its weights.
  if (once * speed.step_passes <= seconds)
    speed.step_passes = seconds_of_step_token(runner, index, layer, hidden, seconds) / pass;
  return speed;
}

double estimate_merge_seconds(const Model& model, const ModelSpeed& speed, const MergeOptions& options,
                              std::int64_t tokens, std::int64_t sampled) {
  const MergeMethod& method = merge_method(options.kind);
  if (method.text == TextUse::none) return 0;
  const double passes = static_cast<double>(tokens) * kPassesForMoments +
                        static_cast<double>(merge_work(model, options, tokens, {.passes = speed.step_passes})) /
                            static_cast<double>(model.layers().size());
  return speed.layers * passes + estimate_sampling_seconds(model, speed, sampled);
}

double estimate_measuring_seconds(const Model& model, const ModelSpeed& speed, const MergeOptions& options) {
  return speed.layers * static_cast<double>(work_to_measure(model, options)) /
         static_cast<double>(model.layers().size());
}

std::int64_t calibration_context(const Model& model) {
  const auto positions = static_cast<std::int64_t>(require_runnable(model).max_positions);
  return positions > 0 ? std::min(positions, kCalibrationContext) : kCalibrationContext;
}

std::int64_t sampled_together(const Model& model) {
  static constexpr std::int64_t kCacheBytes = std::int64_t{4} << 30;
  static constexpr std::int64_t kMost = 256;
  return std::clamp<std::int64_t>(kCacheBytes / (calibration_context(model) * cache_bytes_per_token(model)), 1, kMost);
}

double estimate_sampling_seconds(const Model& model, const ModelSpeed& speed, std::int64_t sampled) {
  const std::int64_t together = together_of(model, sampled);
  const double passes = kPassesToSample + kPassesToReadWeights / static_cast<double>(together);
  return (speed.layers + speed.head) * static_cast<double>(sampled) * passes;
}

std::uint64_t merge_memory_bytes(const Model& model, const MergeOptions& options, std::int64_t tokens,
                                 std::int64_t sampled) {
  static constexpr std::uint64_t kProgram = std::uint64_t{80} << 20;
  static constexpr std::uint64_t kNotGivenBack = 10;  // one part in this many, by the allocator
  const MergeMethod& method = merge_method(options.kind);
  const MergeOptions used = in_effect(options);
  const std::uint64_t of_layer =
      layer_parameters(model) * sizeof(float) / static_cast<std::uint64_t>(model.settings().shape().layers);
  const auto width = static_cast<std::uint64_t>(model.layers().front().hidden_size);
  std::uint64_t most = sampling_bytes(model, sampled);
  const auto consider = [&](std::uint64_t bytes) { most = std::max(most, bytes); };
  if (method.pooled == Pooled::no) consider(of_layer + 3 * width * width * sizeof(double));
  if (method.text != TextUse::none) consider(of_layer + stream_bytes(model, options, tokens, 1));
  if (method.is_fitted) {
    const std::uint64_t streams = stream_bytes(model, options, fitted_tokens(model, used, tokens), 3);
    consider(streams + fit_bytes(model, used, of_layer));
    if (used.reconstruct.steps > 0) {
      const std::uint64_t activations = activation_bytes(model, used.reconstruct.step_tokens) / model.layers().size();
      consider(streams + of_layer + distillation_bytes(model, used.reconstruct.scope) / model.layers().size() +
               activations);
    }
  }
  if (method.is_fitted && fits_distillation(model, used)) {
    const std::uint64_t all = activation_bytes(model, used.reconstruct.step_tokens);
    const std::uint64_t activations = keeps_activations(model, used) ? all : all / model.layers().size();
    consider(distillation_bytes(model, used.reconstruct.scope) + activations + stream_bytes(model, options, tokens, 2) +
             head_entries(model) * sizeof(float));
  }
  return kProgram + most + most / kNotGivenBack;
}

std::uint64_t merge_disk_bytes(const Model& model, const MergeOptions& options, std::int64_t tokens) {
  const MergeMethod& method = merge_method(options.kind);
  if (method.pooled != Pooled::no) return 0;
  const std::uint64_t entries =
      fitted_parameters(model, method.is_fitted ? options.reconstruct.scope : ReconstructScope::attention);
  std::uint64_t bytes = entries * dtype_bytes(model.layers().front().dtype);
  if (fits_distillation(model, options)) bytes += distillation_disk_bytes(model, entries);
  if (tokens == 0 || method.text == TextUse::none) return bytes;
  const auto width = static_cast<std::uint64_t>(model.layers().front().hidden_size);
  bytes += model.layers().size() * (width + 1) * (width + 1) * sizeof(double);  // second moments
  const std::uint64_t activations =
      static_cast<std::uint64_t>(tokens) * width * (method.is_fitted ? 3 : 1) * sizeof(float);
  return activations > options.memory ? bytes + activations : bytes;
}

}  // namespace qcqa
