#include "merge/layer_optimizer.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "support/parallel.hpp"

namespace qcqa {
namespace {

/// Shares of the learning rate. What heads share is where the loss is, so the attention matrices move most. Entries of
/// norms and biases are of the size of their root mean square, so the same share moves them further.
constexpr double kMlpRate = 0.25;
constexpr double kVectorRate = 0.06;

/// Adam's decay rates of the moments, and what keeps it from dividing by 0.
constexpr double kFirstDecay = 0.8;
constexpr double kSecondDecay = 0.95;
constexpr double kEpsilon = 1e-8;

}  // namespace

LayerOptimizer::LayerOptimizer(LayerWeights& layer, ReconstructScope scope, bool query_key_value_bias,
                               double learning_rate) {
  // The matrices with the most entries first: threads that share the work end together.
  const bool block = scope == ReconstructScope::block;
  if (block) {
    for (Linear* linear : {&layer.mlp.gate_up, &layer.mlp.down}) add(linear->weight, learning_rate * kMlpRate);
  }
  for (Linear* linear : {&layer.query_key_value, &layer.output}) add(linear->weight, learning_rate);
  if (query_key_value_bias) add(layer.query_key_value.bias, learning_rate * kVectorRate);
  if (!block) return;
  for (Linear* linear : {&layer.output, &layer.mlp.gate_up, &layer.mlp.down})
    add(linear->bias, learning_rate * kVectorRate);
  // Not the attention norm: it scales columns that move anyway, and gradients would have to pass the widest matrix.
  for (NormWeights* norm :
       {&layer.attention_post_norm, &layer.mlp_norm, &layer.mlp_post_norm, &layer.query_norm, &layer.key_norm}) {
    if (norm->is_fixed) continue;
    add(norm->weight, learning_rate * kVectorRate);
    add(norm->bias, learning_rate * kVectorRate);
  }
}

void LayerOptimizer::add(at::Tensor& weight, double learning_rate) {
  if (!weight.defined()) return;
  const double size = std::sqrt(weight.to(at::kDouble).square().mean().item<double>());
  weight = weight.detach().clone().set_requires_grad(true);
  places_.push_back(&weight);
  weights_.push_back(weight);
  const at::Tensor value = weight.detach().to(at::kFloat);
  moments_.push_back({.value = value,
                      .first = at::zeros_like(value),
                      .second = at::zeros_like(value),
                      .scratch = at::empty_like(value),
                      .rate = learning_rate * (size > 0 ? size : 1e-3)});
}

void LayerOptimizer::step(std::span<const std::span<const at::Tensor>> gradients, double factor) {
  ++steps_;
  const double first_bias = 1 - std::pow(kFirstDecay, steps_);
  const double second_bias = std::sqrt(1 - std::pow(kSecondDecay, steps_));
  const auto step_weight = [&](std::size_t i) {
    const at::NoGradGuard no_gradients;
    auto& [value, first, second, scratch, rate] = moments_[i];
    at::Tensor sum;
    for (const std::span<const at::Tensor> of_batch : gradients) {
      if (!of_batch[i].defined()) continue;
      sum = sum.defined() ? at::add_out(scratch, sum, of_batch[i]) : of_batch[i];
    }
    if (!sum.defined()) return;
    sum = sum.to(at::kFloat);
    // Both moments' corrections are in the rate and in epsilon: five passes and no new memory.
    first.lerp_(sum, 1 - kFirstDecay);
    second.mul_(kSecondDecay).addcmul_(sum, sum, 1 - kSecondDecay);
    at::sqrt_out(scratch, second).add_(kEpsilon * second_bias);
    value.addcdiv_(first, scratch, -rate * factor * second_bias / first_bias);
    if (!value.is_alias_of(weights_[i])) weights_[i].copy_(value);
  };
  // By weight, not by element: operators on parts of a weight would wait for each other.
  if (weights_.front().is_cpu()) return parallel_for(weights_.size(), step_weight);
  for (std::size_t i = 0; i < weights_.size(); ++i) step_weight(i);
}

std::vector<at::Tensor> LayerOptimizer::state() const {
  std::vector<at::Tensor> tensors;
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    const Moments& moments = moments_[i];
    for (const at::Tensor& tensor : {moments.value, moments.first, moments.second, kept_[i]}) tensors.push_back(tensor);
  }
  return tensors;
}

void LayerOptimizer::restore(std::span<const at::Tensor> state, std::int64_t steps) {
  const at::NoGradGuard no_gradients;
  steps_ = steps;
  kept_.clear();
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    Moments& moments = moments_[i];
    moments.value.copy_(state[4 * i]);
    moments.first.copy_(state[4 * i + 1]);
    moments.second.copy_(state[4 * i + 2]);
    kept_.push_back(at::empty_like(moments.value).copy_(state[4 * i + 3]));
    if (!moments.value.is_alias_of(weights_[i])) weights_[i].copy_(moments.value);
  }
}

void LayerOptimizer::keep() {
  kept_.clear();
  for (const Moments& moments : moments_) kept_.push_back(moments.value.clone());
}

void LayerOptimizer::finish() {
  for (std::size_t i = 0; i < places_.size(); ++i) *places_[i] = kept_[i];
}

}  // namespace qcqa
