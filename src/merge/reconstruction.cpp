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

constexpr double kRidge = 1e-3;  ///< share of the features' mean square
/// Tokens per column of the normal equations that are enough to set them up.
constexpr std::int64_t kTokensPerColumn = 64;
constexpr int kJudgements = 8;  ///< times that the held-back batches are looked at

double number(const at::Tensor& scalar) { return scalar.item<double>(); }

/// Sum over tokens of the square error as a share of the target's square: what the norms to come make of it. The
/// streams of a few tokens are far longer than all others, and would decide alone.
at::Tensor relative_error(const LayerRunner& runner, const LayerTask& task, const LayerWeights& weights,
                          const SequenceBatch& batch) {
  const at::Tensor out = runner.run(weights, task.layer, batch, runner.rows(task.inputs, batch)).to(at::kFloat);
  const at::Tensor target = runner.rows(task.targets, batch).to(at::kFloat);
  const at::Tensor size = target.square().sum(-1).clamp_min(std::numeric_limits<float>::min());
  return ((out - target).square().sum(-1) / size).sum();
}

}  // namespace

double output_error(const LayerRunner& runner, const LayerTask& task, const LayerWeights& weights,
                    std::span<const std::size_t> batches) {
  std::vector<double> errors(batches.size());
  std::int64_t tokens = 0;
  for (const std::size_t index : batches) tokens += runner.batches()[index].rows;
  for_each_batch(runner.transformer().runtime(), batches.size(), [&](std::size_t i) {
    errors[i] = number(relative_error(runner, task, weights, runner.batches()[batches[i]]));
  });
  return std::accumulate(errors.begin(), errors.end(), 0.0) / static_cast<double>(tokens);
}

void refit_output(const LayerRunner& runner, const LayerTask& task, LayerWeights& weights) {
  if (weights.attention_post_norm.weight.defined()) return;
  const ForwardSpec& spec = runner.transformer().spec();
  LayerWeights heads_only = weights;  // its attention block gives the heads' outputs themselves
  const std::int64_t columns = weights.output.inputs();
  // Not every type has an identity.
  heads_only.output = {at::eye(columns, runner.transformer().runtime().float_options()).to(weights.output.weight), {}};
  const auto wide = [&] { return weights.output.weight.options().dtype(at::kDouble); };
  std::vector<at::Tensor> squares(task.fitted.size());
  std::vector<at::Tensor> products(task.fitted.size());
  std::size_t count = 0;
  for (std::int64_t tokens = 0; count < task.fitted.size() && tokens < kTokensPerColumn * columns; ++count) {
    tokens += runner.batches()[task.fitted[count]].rows;
  }
  at::Tensor square = at::zeros({columns, columns}, wide());
  at::Tensor product = at::zeros({columns, weights.output.outputs()}, wide());
  // In rounds, so that only a few batches' products are there at once; added in order, whatever thread was first.
  static constexpr std::size_t kRound = 16;
  for (std::size_t begin = 0; begin < count; begin += kRound) {
    const std::size_t round = std::min(kRound, count - begin);
    for_each_batch(runner.transformer().runtime(), round, [&](std::size_t i) {
      const SequenceBatch& batch = runner.batches()[task.fitted[begin + i]];
      const at::Tensor inputs = runner.rows(task.inputs, batch);
      const at::Tensor original_inputs = runner.rows(task.original_inputs, batch);
      const at::Tensor heads = runner.run_attention_block(heads_only, task.layer, batch, inputs).to(at::kDouble);
      at::Tensor wanted =
          runner.run_attention_block(*task.original, task.layer, batch, original_inputs).to(at::kDouble) +
          (original_inputs.to(at::kDouble) - inputs.to(at::kDouble)) / spec.residual_multiplier;
      if (weights.output.bias.defined()) wanted = wanted - weights.output.bias.to(at::kDouble);
      squares[begin + i] = at::mm(heads.t(), heads);
      products[begin + i] = at::mm(heads.t(), wanted);
    });
    for (std::size_t i = begin; i < begin + round; ++i) {
      square += squares[i];
      product += products[i];
      squares[i] = products[i] = at::Tensor();
    }
  }
  const at::Tensor ridge = at::eye(columns, square.options()) * (kRidge * square.diagonal().mean());
  const at::Tensor before = weights.output.weight.t().to(at::kDouble);
  const at::Tensor after = at::linalg_solve(square + ridge, product + at::mm(ridge, before));
  weights.output.weight = after.t().to(weights.output.weight.scalar_type()).contiguous();
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
      const at::Tensor loss =
          relative_error(runner, task, weights, *batches[i]) / static_cast<double>(row_count(batches));
      gradients[i] = torch::autograd::grad({loss}, optimizer.weights(), {}, false, false, true);
    });
    optimizer.step(std::vector<std::span<const at::Tensor>>(gradients.begin(), gradients.end()),
                   rate_factor(step - 1, options.steps));
  };
  const Fit result = fit(
      options.steps, kJudgements, {}, take_step, [&] { return output_error(runner, task, weights, task.held_back); },
      [&] { optimizer.keep(); }, [&](const FitState& state) { progress(state.step); });
  optimizer.finish();
  return result;
}

}  // namespace qcqa
