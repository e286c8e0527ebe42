#include "merge/reconstruction.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "forward/for_each_batch.hpp"
#include "merge/fitting.hpp"
#include "merge/sinks.hpp"
#include "statistics/activations.hpp"

namespace qcqa {
namespace {

double number(const at::Tensor& scalar) { return scalar.item<double>(); }

/// Every token's square error as a share of the target's square.
at::Tensor relative_errors(const LayerRunner& runner, const LayerTask& task, const LayerWeights& weights,
                           const SequenceBatch& batch) {
  const at::Tensor out = runner.run(weights, task.layer, batch, runner.rows(task.inputs, batch)).to(at::kFloat);
  const at::Tensor target = runner.rows(task.targets, batch).to(at::kFloat);
  return (out - target).square().sum(-1) / squares_of(target);
}

}  // namespace

LayerTask layer_task(const LayerRunner& runner, int layer, const LayerWeights& original, at::Tensor inputs,
                     at::Tensor original_inputs, at::Tensor targets) {
  const at::Tensor sinks = find_sinks(runner, targets);
  LayerTask task{.layer = layer,
                 .original = &original,
                 .inputs = std::move(inputs),
                 .original_inputs = std::move(original_inputs),
                 .targets = std::move(targets),
                 .sinks = sinks,
                 .importance = importance_of(sinks),
                 .fitted = {},
                 .held_back = {}};
  divide_batches(runner, task.fitted, task.held_back);
  return task;
}

at::Tensor importance_in(const LayerRunner& runner, const LayerTask& task, const SequenceBatch& batch) {
  return runner.rows(task.importance, batch).to(at::kFloat);
}

OutputError output_error(const LayerRunner& runner, const LayerTask& task, const LayerWeights& weights,
                         std::span<const std::size_t> batches) {
  /// Sums over tokens, of errors and of what they are weighed by.
  struct Sum {
    double error = 0, weight = 0;
  };
  using Sums = std::array<Sum, 3>;  // all alike, sinks alone, by importance
  std::vector<Sums> sums(batches.size());
  for_each_batch(runner.transformer().runtime(), batches.size(), [&](std::size_t i) {
    const SequenceBatch& batch = runner.batches()[batches[i]];
    const at::Tensor errors = relative_errors(runner, task, weights, batch);
    const auto weighed_by = [&](const at::Tensor& weight) {
      return Sum{number((errors * weight).sum()), number(weight.sum())};
    };
    sums[i] = {weighed_by(at::ones_like(errors)), weighed_by(runner.rows(task.sinks, batch).to(at::kFloat)),
               weighed_by(importance_in(runner, task, batch))};
  });
  const auto mean = [&](std::size_t kind) {
    Sum all;
    for (const Sums& of_batch : sums) {
      all.error += of_batch[kind].error;
      all.weight += of_batch[kind].weight;
    }
    return all.error / all.weight;
  };
  return {.all = mean(0), .sinks = mean(1), .judged = mean(2)};
}

void take_step(const LayerRunner& runner, const LayerTask& task, const LayerWeights& weights,
               const std::vector<const SequenceBatch*>& batches, double factor, LayerOptimizer& optimizer) {
  std::vector<std::vector<at::Tensor>> gradients(batches.size());
  for_each_batch(runner.transformer().runtime(), batches.size(), [&](std::size_t i) {
    const at::AutoGradMode with_gradients(true);
    const at::Tensor errors = relative_errors(runner, task, weights, *batches[i]);
    const at::Tensor loss =
        (errors * importance_in(runner, task, *batches[i])).sum() / static_cast<double>(row_count(batches));
    gradients[i] = torch::autograd::grad({loss}, optimizer.weights(), {}, false, false, true);
  });
  optimizer.step(std::vector<std::span<const at::Tensor>>(gradients.begin(), gradients.end()), factor);
}

Fit reconstruct_layer(const LayerRunner& runner, const LayerTask& task, const ReconstructOptions& options, bool biases,
                      std::uint64_t seed, LayerWeights& weights, const std::function<void(int)>& progress) {
  LayerOptimizer optimizer(weights, options.scope, biases, options.learning_rate);
  BatchOrder order(runner, task.fitted, options.step_tokens, seed);
  const Fit result = fit(
      options.steps, Judgements{}, {},
      [&](int step) {
        take_step(runner, task, weights, order.next(), rate_factor(step - 1, options.steps), optimizer);
      },
      [&] { return output_error(runner, task, weights, task.held_back).judged; }, [&] { optimizer.keep(); },
      [&](const FitState& state) { progress(state.step); });
  optimizer.finish();
  return result;
}

}  // namespace qcqa
