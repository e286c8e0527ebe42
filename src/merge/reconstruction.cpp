#include "merge/reconstruction.hpp"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "forward/for_each_batch.hpp"
#include "merge/fitting.hpp"
#include "merge/layer_optimizer.hpp"

namespace qcqa {
namespace {

constexpr int kJudgements = 8;  ///< times that the held-back batches are looked at

double number(const at::Tensor& scalar) { return scalar.item<double>(); }

/// Every token's square error as a share of the target's square: what the norms to come make of it. The streams of a
/// few tokens are far longer than all others, and would decide alone.
at::Tensor relative_errors(const LayerRunner& runner, const LayerTask& task, const LayerWeights& weights,
                           const SequenceBatch& batch) {
  const at::Tensor out = runner.run(weights, task.layer, batch, runner.rows(task.inputs, batch)).to(at::kFloat);
  const at::Tensor target = runner.rows(task.targets, batch).to(at::kFloat);
  const at::Tensor size = target.square().sum(-1).clamp_min(std::numeric_limits<float>::min());
  return (out - target).square().sum(-1) / size;
}

at::Tensor importance_in(const LayerRunner& runner, const LayerTask& task, const SequenceBatch& batch) {
  return runner.rows(task.importance, batch).to(at::kFloat);
}

}  // namespace

OutputError output_error(const LayerRunner& runner, const LayerTask& task, const LayerWeights& weights,
                         std::span<const std::size_t> batches) {
  struct Sums {
    double all = 0, sinks = 0, judged = 0, importance = 0, sink_count = 0;
    std::int64_t tokens = 0;
  };
  std::vector<Sums> sums(batches.size());
  for_each_batch(runner.transformer().runtime(), batches.size(), [&](std::size_t i) {
    const SequenceBatch& batch = runner.batches()[batches[i]];
    const at::Tensor errors = relative_errors(runner, task, weights, batch);
    const at::Tensor importance = importance_in(runner, task, batch);
    const at::Tensor sinks = runner.rows(task.sinks, batch).to(at::kFloat);
    sums[i] = {.all = number(errors.sum()),
               .sinks = number((errors * sinks).sum()),
               .judged = number((errors * importance).sum()),
               .importance = number(importance.sum()),
               .sink_count = number(sinks.sum()),
               .tokens = batch.rows};
  });
  Sums sum;
  for (const Sums& one : sums) {
    sum.all += one.all;
    sum.sinks += one.sinks;
    sum.judged += one.judged;
    sum.importance += one.importance;
    sum.sink_count += one.sink_count;
    sum.tokens += one.tokens;
  }
  return {.all = sum.all / static_cast<double>(sum.tokens),
          .sinks = sum.sinks / sum.sink_count,
          .judged = sum.judged / sum.importance};
}

Fit reconstruct_layer(const LayerRunner& runner, const LayerTask& task, const ReconstructOptions& options, bool biases,
                      std::uint64_t seed, LayerWeights& weights, const std::function<void(int)>& progress) {
  LayerOptimizer optimizer(weights, options.scope, biases, options.learning_rate);
  BatchOrder order(runner, task.fitted, options.step_tokens, seed);
  const auto take_step = [&](int step) {
    const auto& batches = order.next();
    std::vector<std::vector<at::Tensor>> gradients(batches.size());
    for_each_batch(runner.transformer().runtime(), batches.size(), [&](std::size_t i) {
      const at::AutoGradMode with_gradients(true);
      const at::Tensor errors = relative_errors(runner, task, weights, *batches[i]);
      const at::Tensor loss =
          (errors * importance_in(runner, task, *batches[i])).sum() / static_cast<double>(row_count(batches));
      gradients[i] = torch::autograd::grad({loss}, optimizer.weights(), {}, false, false, true);
    });
    optimizer.step(std::vector<std::span<const at::Tensor>>(gradients.begin(), gradients.end()),
                   rate_factor(step - 1, options.steps));
  };
  const Fit result = fit(
      options.steps, kJudgements, {}, take_step,
      [&] { return output_error(runner, task, weights, task.held_back).judged; }, [&] { optimizer.keep(); },
      [&](const FitState& state) { progress(state.step); });
  optimizer.finish();
  return result;
}

}  // namespace qcqa
