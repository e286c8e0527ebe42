#include "merge/work.hpp"

#include <algorithm>

#include "model/experts_facts.hpp"
#include "qcqa/merge/measured_costs.hpp"
#include "statistics/second_moment.hpp"

namespace qcqa {
namespace {

/// Enough for the closed form where steps follow.
constexpr std::int64_t kTokensBeforeDistillation = 16384;

/// Products with the output matrix per position that is looked at: the original's, the merged model's, their gradient.
constexpr double kHeadsPerPosition = 3;
/// And where it is judged: the original's and the merged model's.
constexpr double kHeadsToJudge = 2;
/// The share of a step that they may be.
constexpr double kHeadShare = 0.25;
constexpr std::int64_t kMostStride = 4;

/// Products of numbers in float64, in those of float32.
constexpr double kOfADouble = 2;
/// Strengths of the ridge that a fit in closed form tries, on average.
constexpr double kStrengthsTried = 4;
/// Times that a layer's error is looked at, its attention to sinks among them.
constexpr double kErrorsOfALayer = 4;

std::int64_t layer_count(const Model& model) { return static_cast<std::int64_t>(model.layers().size()); }

/// Entries of all layers that one token meets: of experts, those that it goes to.
double entries_met(const Model& model) {
  auto entries = static_cast<double>(std::max<std::uint64_t>(1, layer_parameters(model)));
  if (const auto experts = experts_facts(model.settings())) {
    const auto with = static_cast<double>(std::ranges::count(experts->in_layer, true));
    entries -= with * static_cast<double>(experts->idle_entries(model.settings().shape().hidden_size));
  }
  return std::max(1.0, entries);
}

/// Those of the output matrix, in those of all layers.
double head_size(const Model& model) { return static_cast<double>(head_entries(model)) / entries_met(model); }

/// Those of the attention's matrices.
std::uint64_t attention_parameters(const Model& model) {
  std::uint64_t entries = 0;
  for (const AttentionLayer& layer : model.layers()) {
    const auto rows = static_cast<std::uint64_t>(layer.query_heads + layer.kv_heads) * 2 + layer.gate.size();
    entries += rows * static_cast<std::uint64_t>(layer.head_dim) * static_cast<std::uint64_t>(layer.hidden_size);
  }
  return entries;
}

/// Entries of a layer: products of numbers in a pass of one token.
double entries_of_a_layer(const Model& model) { return entries_met(model) / static_cast<double>(layer_count(model)); }

/// Tokens that least squares, or a second moment, with so many inputs look at.
double tokens_seen(std::int64_t tokens, double inputs) {
  return std::min(static_cast<double>(tokens), static_cast<double>(kMomentTokensPerColumn) * inputs);
}

/// The output projection's, and with the whole block the MLP's last one's.
double work_of_least_squares(const Model& model, ReconstructScope scope, std::int64_t tokens) {
  const AttentionLayer& layer = model.layers().front();
  const double passed = entries_of_a_layer(model);
  const double attention =
      static_cast<double>(attention_parameters(model)) / (passed * static_cast<double>(layer_count(model)));
  const auto width = static_cast<double>(layer.hidden_size);
  const auto judged = static_cast<double>(held_back_tokens(tokens));
  /// With so many inputs, where what they are costs so many passes per token.
  const auto of = [&](double inputs, double passes) {
    const double per_token = passes + inputs * (inputs + width) / passed;
    const double to_solve = inputs * inputs * (inputs / 6 + 2 * width) * kOfADouble / passed;
    return (tokens_seen(tokens, inputs) + judged) * per_token + kStrengthsTried * to_solve;
  };
  double work = of(static_cast<double>(layer.query_heads * layer.head_dim), 2 * attention);
  if (scope == ReconstructScope::block) work += of(static_cast<double>(model.settings().shape().mlp_width), 1);
  return work;
}

}  // namespace

std::uint64_t layer_parameters(const Model& model) {
  std::uint64_t entries = 0;
  for (const TensorView& tensor : model.checkpoint().tensors()) {
    const bool outside = tensor.name.starts_with(model.architecture().embedding) ||
                         tensor.name.starts_with(model.architecture().head.tensor);
    if (!outside) entries += static_cast<std::uint64_t>(model.weight_count(tensor));
  }
  return entries;
}

std::uint64_t head_entries(const Model& model) {
  const TensorView* embedding = model.checkpoint().find(model.architecture().embedding + ".weight");
  return embedding == nullptr ? 0 : static_cast<std::uint64_t>(embedding->element_count());
}

std::uint64_t fitted_parameters(const Model& model, ReconstructScope scope) {
  return scope == ReconstructScope::block ? layer_parameters(model) : attention_parameters(model);
}

std::uint64_t distillation_bytes(const Model& model, ReconstructScope scope) {
  static constexpr std::uint64_t kMoreOfAFittedWeight = 6;
  return (layer_parameters(model) + kMoreOfAFittedWeight * fitted_parameters(model, scope)) * sizeof(float);
}

std::uint64_t activation_bytes(const Model& model, std::int64_t tokens) {
  static constexpr std::int64_t kAttendedTo = 512;
  std::int64_t numbers = 0, width = model.settings().shape().mlp_width;
  if (const auto experts = experts_facts(model.settings()))
    width = std::max(width, std::int64_t{experts->width} * experts->per_token + experts->shared_width);
  for (const AttentionLayer& layer : model.layers()) {
    const std::int64_t rows = std::int64_t{layer.query_heads + 2 * layer.kv_heads} * layer.head_dim;
    numbers += 10 * std::int64_t{layer.hidden_size} + 3 * rows + 3 * layer.query_heads * kAttendedTo + 4 * width;
  }
  numbers += 4 * std::int64_t{model.settings().shape().vocabulary} / distill_stride(model);
  return static_cast<std::uint64_t>(numbers * tokens) * sizeof(float);
}

bool keeps_activations(const Model& model, const MergeOptions& options) {
  return distillation_bytes(model, options.reconstruct.scope) +
             activation_bytes(model, options.reconstruct.step_tokens) <=
         options.memory;
}

std::uint64_t distillation_disk_bytes(const Model& model, std::uint64_t entries) {
  static constexpr std::uint64_t kOfAWeight = 4;  // its value, both moments, the best value
  static constexpr std::uint64_t kStates = 2;     // the one before goes only when the next one stands
  return entries * (dtype_bytes(model.layers().front().dtype) + kStates * kOfAWeight * sizeof(float));
}

bool fits_distillation(const Model& model, const MergeOptions& options) {
  return in_effect(options).reconstruct.distill_steps > 0 &&
         distillation_bytes(model, options.reconstruct.scope) <= options.memory;
}

std::int64_t fitted_tokens(const Model& model, const MergeOptions& options, std::int64_t tokens) {
  const bool only_distilled = options.reconstruct.steps == 0 && fits_distillation(model, options);
  return only_distilled ? std::min(tokens, kTokensBeforeDistillation) : tokens;
}

std::int64_t distill_stride(const Model& model) {
  const double stride = kHeadsPerPosition * head_size(model) / (kHeadShare * ModelSpeed{}.step_passes);
  return std::clamp(static_cast<std::int64_t>(stride), std::int64_t{1}, kMostStride);
}

std::int64_t work_to_refit(const Model& model, const MergeOptions& options, std::int64_t tokens) {
  const auto width = static_cast<double>(model.layers().front().hidden_size);
  const double moments = tokens_seen(tokens, width) * width * width * kOfADouble / entries_of_a_layer(model);
  const double errors = kErrorsOfALayer * static_cast<double>(held_back_tokens(tokens));
  return static_cast<std::int64_t>(2 * static_cast<double>(tokens) + moments + errors +
                                   work_of_least_squares(model, options.reconstruct.scope, tokens));
}

std::int64_t work_to_measure(const Model& model, const MergeOptions& options) {
  static constexpr auto kFitted = MeasuredCosts::kFittedTokens, kJudged = MeasuredCosts::kJudgedTokens;
  const auto layers = static_cast<double>(layer_count(model));
  const double fit = work_of_least_squares(model, options.reconstruct.scope, kFitted);
  const double logits = static_cast<double>(kJudged) * head_size(model) * layers;
  double work = 0;
  double behind = layers;  // layers that come behind one, and itself
  for (const AttentionLayer& layer : model.layers()) {
    const int variants = layer.kv_heads;  // about a grouping for each number of heads, and all of them
    work += static_cast<double>(work_to_refit(model, options, kFitted));  // of the model around
    work +=
        3 * static_cast<double>(kFitted) + logits + variants * (fit + static_cast<double>(kJudged) * behind + logits);
    behind -= 1;
  }
  return static_cast<std::int64_t>(work);
}

std::int64_t work_of_steps(const MergeOptions& options, std::int64_t tokens, const StepCosts& costs) {
  const int steps = in_effect(options).reconstruct.steps;
  if (steps == 0) return 0;
  const double of_a_step = static_cast<double>(options.reconstruct.step_tokens) * costs.passes;
  return static_cast<std::int64_t>(steps * of_a_step) + (costs.judgements + 1) * held_back_tokens(tokens);
}

std::int64_t work_per_layer(const Model& model, const MergeOptions& options, std::int64_t tokens,
                            const StepCosts& costs) {
  return work_to_refit(model, options, tokens) + work_of_steps(options, tokens, costs);
}

std::int64_t work_to_distill(const Model& model, std::int64_t tokens) { return tokens * layer_count(model); }

std::int64_t work_of_distill_steps(const Model& model, const MergeOptions& options, std::int64_t tokens,
                                   const StepCosts& costs) {
  const auto layers = static_cast<double>(layer_count(model));
  const double head = head_size(model) / static_cast<double>(distill_stride(model));
  const double again = keeps_activations(model, options) ? 0 : 1;
  const double of_a_token = costs.passes + again + kHeadsPerPosition * head;
  const double of_a_judgement = static_cast<double>(held_back_tokens(tokens)) * (1 + kHeadsToJudge * head);
  const double steps = options.reconstruct.distill_steps * static_cast<double>(options.reconstruct.step_tokens);
  return static_cast<std::int64_t>(layers * (steps * of_a_token + (costs.judgements + 1) * of_a_judgement));
}

std::int64_t distillation_work(const Model& model, const MergeOptions& options, std::int64_t tokens,
                               const StepCosts& costs) {
  if (!fits_distillation(model, options)) return 0;
  return work_to_distill(model, tokens) + work_of_distill_steps(model, options, tokens, costs);
}

std::int64_t merge_work(const Model& model, const MergeOptions& options, std::int64_t tokens, const StepCosts& costs) {
  if (!merge_method(options.kind).is_fitted) return 0;
  return layer_count(model) * work_per_layer(model, options, fitted_tokens(model, options, tokens), costs) +
         distillation_work(model, options, tokens, costs);
}

}  // namespace qcqa
