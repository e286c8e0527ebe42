#pragma once

#include "forward/layer_weights.hpp"

namespace qcqa {

/// What a mixture of experts makes of its inputs: each token's experts, weighed as its router says, and the shared one.
/// Gradients pass through the weights too, not through the choice.
/// @param x  (tokens, hidden_size)  @returns the same shape
[[nodiscard]] at::Tensor run_experts(const ExpertWeights& weights, const ForwardSpec& spec, const at::Tensor& x);

/// @param prefix  of the layer's tensors. Of a model whose `spec` has experts in that layer.
[[nodiscard]] ExpertWeights load_experts(const Model& model, const std::string& prefix, const ForwardSpec& spec,
                                         const Runtime& runtime);

}  // namespace qcqa
