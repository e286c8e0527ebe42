#include "merge/distill_model.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <iterator>
#include <string>
#include <system_error>
#include <tuple>

#include "forward/grouped_layer.hpp"
#include "merge/fitted_tensors.hpp"
#include "merge/work.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/merge/distill.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/human_bytes.hpp"
#include "statistics/activations.hpp"

namespace qcqa {
namespace {

/// Of a distillation that ends early: falling rates do best late, so that a few bad judgements prove nothing.
constexpr Judgements kEarlyStopping = {.count = 16, .patience = 5};

/// Distillation alone, in the words of a merge.
MergeOptions as_merge(const DistillOptions& options) {
  return {.kind = MergeKind::reconstruct,
          .reconstruct = {.scope = options.scope,
                          .steps = 0,
                          .step_tokens = options.step_tokens,
                          .distill_steps = options.steps,
                          .distill_rate = options.rate},
          .seed = options.seed,
          .memory = options.memory,
          .forward = options.forward};
}

StepCosts judged_as(const Judgements& judgements) { return {.judgements = judgements.count}; }

bool are_equal(const TensorSlice& a, const TensorSlice& b) {
  if (a.empty() || b.empty()) return a.empty() == b.empty();
  std::vector<std::byte> made_a, made_b;
  return std::ranges::equal(a.bytes(made_a), b.bytes(made_b));
}

/// KV heads that are the same to the bit, in keys and in values.
Grouping equal_heads(const AttentionLayer& layer) {
  const auto are_same = [](const HeadRows& a, const HeadRows& b) {
    return are_equal(a.weight, b.weight) && are_equal(a.bias, b.bias) && are_equal(a.norm, b.norm);
  };
  std::vector<int> labels;
  for (std::size_t head = 0; head < layer.key.size(); ++head) {
    std::size_t first = 0;
    while (!are_same(layer.key[first], layer.key[head]) || !are_same(layer.value[first], layer.value[head])) ++first;
    labels.push_back(static_cast<int>(first));
  }
  return Grouping::from_labels(labels);
}

/// Bytes of both models' streams.
std::uint64_t bytes_of_streams(std::int64_t tokens, std::int64_t width) {
  static constexpr std::uint64_t kStreams = 2;
  return static_cast<std::uint64_t>(tokens * width) * kStreams * sizeof(float);
}

at::Tensor stream_of(const LayerRunner& runner, const MergeOptions& options, const std::filesystem::path& scratch) {
  const std::int64_t width = runner.transformer().hidden_size();
  return make_activations(runner.tokens(), width, bytes_of_streams(runner.tokens(), width) > options.memory, scratch);
}

void require_one_shape(const Model& model, const Model& original) {
  const ModelShape& own = model.settings().shape();
  const ModelShape& wanted = original.settings().shape();
  std::string differences;
  for (const auto& [what, mine, other] : {std::tuple("vocabulary", own.vocabulary, wanted.vocabulary),
                                          std::tuple("hidden size", own.hidden_size, wanted.hidden_size),
                                          std::tuple("number of layers", own.layers, wanted.layers)}) {
    if (mine == other) continue;
    differences += (differences.empty() ? "" : ", ") + std::string(what) + " " + std::to_string(other) +
                   " beside the model's " + std::to_string(mine);
  }
  if (differences.empty()) return;
  throw Error(ErrorKind::invalid_argument, original.path().string(),
              "the reference must have the vocabulary, hidden size and number of layers of " + model.path().string(),
              differences, "Give the model that it was made from.");
}

}  // namespace

void distill_layers(const LayersToDistill& task, const MergeOptions& options, const std::filesystem::path& scratch,
                    const DistillState& state, const std::function<bool(std::int64_t)>& report) {
  const Model& model = task.model;
  const Runtime& runtime = task.own.transformer().runtime();
  const Transformer written(model, runtime);
  std::vector<LayerWeights> compact;
  std::vector<bool> biases;
  for (const AttentionLayer& layer : model.layers()) {
    const Grouping& grouping = task.groupings[static_cast<std::size_t>(layer.layer)];
    compact.push_back(compact_layer(written.load(layer.layer), read_attention_weights(layer), grouping, runtime));
    biases.push_back(has_biases(layer));
  }
  DistillationData data{.embedded = stream_of(task.own, options, scratch),
                        .targets = stream_of(task.original, options, scratch),
                        .original = &task.original.transformer(),
                        .stride = distill_stride(model),
                        .fitted = {},
                        .held_back = {},
                        .judgements = task.judgements,
                        .activations = keeps_activations(model, options) ? Activations::kept : Activations::recomputed};
  task.own.embed(data.embedded);
  task.original.embed(data.targets);
  task.own.lead_in(0, {data.embedded});
  std::int64_t done = 0;
  for (const AttentionLayer& layer : model.layers()) {
    task.original.lead_in(layer.layer, {data.targets});
    BatchProgress meter([&](std::int64_t rows) { return report(done + rows); });
    task.original.advance(task.original.transformer().load(layer.layer), layer.layer, data.targets, meter);
    done += task.original.tokens();
  }
  task.original.lead_in(static_cast<int>(model.layers().size()), {data.targets});
  divide_batches(task.own, data.fitted, data.held_back);
  const std::int64_t to_come = work_of_distill_steps(model, options, task.own.tokens(), judged_as(task.judgements));
  const auto after_step = [&](int step) {
    if (report(done + to_come * step / options.reconstruct.distill_steps)) return;
    throw Error(ErrorKind::interrupted, "distill", "interrupted; the steps that were taken are kept");
  };
  const Distillation result =
      distill(task.own, data, options.reconstruct, biases, options.seed, compact, state.checkpoints(), after_step);
  std::vector<TensorBytes> tensors;
  for (const AttentionLayer& layer : model.layers()) {
    const auto index = static_cast<std::size_t>(layer.layer);
    std::ranges::move(
        fitted_tensors(model, layer.layer, compact[index], task.groupings[index], options.reconstruct.scope),
        std::back_inserter(tensors));
  }
  state.finish(tensors, result);
}

void require_distillable(const Model& model, const Model& original, const DistillOptions& options) {
  for (const Model* each : {&model, &original}) (void)require_runnable(*each);
  require_scope(model, options.scope, "--scope");
  require_one_shape(model, original);
  if (const std::uint64_t bytes = distillation_bytes(model, options.scope); bytes > options.memory) {
    throw Error(ErrorKind::invalid_argument, "--memory",
                "must have room for all layers with their gradients and moments, " + human_bytes(bytes),
                human_bytes(options.memory), "Allow more, or take a machine that has it.");
  }
}

DistillResult distill_model(const Model& model, const Model& original, std::span<const TokenSequence> text,
                            const DistillOptions& options, const std::filesystem::path& scratch,
                            const ProgressFn& progress) {
  require_distillable(model, original, options);
  if (text.empty()) throw Error(ErrorKind::invalid_argument, "--calibrate", "distillation needs a text", "none");
  std::error_code error;
  std::filesystem::create_directories(scratch, error);
  if (error) throw Error(ErrorKind::io, scratch.string(), "cannot be made", error.message());
  const DistillState state(scratch);
  if (!state.result()) {
    const MergeOptions merge = as_merge(options);
    Transformer own(model, Runtime::of(options.forward));
    Transformer other(original, Runtime::of(options.forward));
    for (Transformer* each : {&own, &other}) each->load_head();
    const LayerRunner own_runner(own, text);
    const LayerRunner original_runner(other, text);
    LayersToDistill task{
        .model = model, .groupings = {}, .own = own_runner, .original = original_runner, .judgements = kEarlyStopping};
    for (const AttentionLayer& layer : model.layers()) task.groupings.push_back(equal_heads(layer));
    const std::int64_t work = distillation_work(model, merge, own_runner.tokens(), judged_as(task.judgements));
    distill_layers(task, merge, scratch, state, [&](std::int64_t done) {
      return !progress || progress({"distill", done, work});
    });
  }
  return {state.applied_to(model), *state.result()};
}

double estimate_distill_seconds(const Model& model, const ModelSpeed& speed, const DistillOptions& options,
                                std::int64_t tokens, std::int64_t sampled) {
  StepCosts costs = judged_as(kEarlyStopping);
  costs.passes = speed.step_passes;
  const std::int64_t work = distillation_work(model, as_merge(options), tokens, costs);
  return estimate_sampling_seconds(model, speed, sampled) +
         speed.layers * static_cast<double>(work) / static_cast<double>(model.layers().size());
}

std::uint64_t distill_disk_bytes(const Model& model, const DistillOptions& options, std::int64_t tokens) {
  const std::uint64_t activations = bytes_of_streams(tokens, model.layers().front().hidden_size);
  return distillation_disk_bytes(model, fitted_parameters(model, options.scope)) +
         (activations > options.memory ? activations : 0);
}

}  // namespace qcqa
