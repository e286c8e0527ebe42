#include "merge/layer_optimizer.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "support/parallel.hpp"

namespace qcqa {
namespace {

/// Norms and biases against matrices: their entries are of the size of their root mean square, so the same share moves
/// them further.
constexpr double kVectorRate = 0.1;

}  // namespace

LayerOptimizer::LayerOptimizer(LayerWeights& layer, ReconstructScope scope, bool query_key_value_bias,
                               double learning_rate) {
  // The matrices with the most entries first: threads that share the work end together.
  const bool block = scope == ReconstructScope::block;
  if (block) {
    for (Linear* linear : {&layer.gate_up, &layer.down}) add(linear->weight, learning_rate);
  }
  for (Linear* linear : {&layer.query_key_value, &layer.output}) add(linear->weight, learning_rate);
  if (query_key_value_bias) add(layer.query_key_value.bias, learning_rate * kVectorRate);
  if (!block) return;
  for (Linear* linear : {&layer.output, &layer.gate_up, &layer.down}) add(linear->bias, learning_rate * kVectorRate);
  for (NormWeights* norm : {&layer.attention_norm, &layer.attention_post_norm, &layer.mlp_norm, &layer.mlp_post_norm,
                            &layer.query_norm, &layer.key_norm}) {
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
  rates_.push_back(learning_rate * (size > 0 ? size : 1e-3));
  adams_.push_back(std::make_unique<torch::optim::Adam>(std::vector<at::Tensor>{weight},
                                                        torch::optim::AdamOptions(rates_.back()).betas({0.9, 0.95})));
}

void LayerOptimizer::step(std::span<const std::span<const at::Tensor>> gradients, double factor) {
  const auto step_weight = [&](std::size_t i) {
    at::Tensor sum;
    for (const std::span<const at::Tensor> of_batch : gradients) {
      if (of_batch[i].defined()) sum = sum.defined() ? sum + of_batch[i] : of_batch[i];
    }
    weights_[i].mutable_grad() = sum;
    static_cast<torch::optim::AdamOptions&>(adams_[i]->param_groups()[0].options()).lr(rates_[i] * factor);
    adams_[i]->step();
  };
  if (weights_.front().is_cpu()) return parallel_for(weights_.size(), step_weight);
  for (std::size_t i = 0; i < weights_.size(); ++i) step_weight(i);
}

void LayerOptimizer::keep() {
  kept_.clear();
  for (const at::Tensor& weight : weights_) kept_.push_back(weight.detach().clone());
}

void LayerOptimizer::finish() {
  for (std::size_t i = 0; i < places_.size(); ++i) *places_[i] = kept_[i];
}

}  // namespace qcqa
