#pragma once

#include <functional>

#include "forward/layer_weights.hpp"
#include "forward/rotary.hpp"

// One layer of a model as a function of its weights and of hidden states. It is made of LibTorch operators that change
// none of their inputs, so gradients can be taken of it with respect to any weight; weights that were loaded or changed
// under c10::InferenceMode cannot take part in that.

namespace qcqa {

/// (queries, keys, values), rotated, one row per token -> attention output, one row per token. The way to whatever the
/// tokens attend to: their own sequences, or a cache.
using Attend = std::function<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&)>;

/// All functions here take and give (tokens, hidden_size). @param rotary  of the layer; undefined tensors: not rotated
/// @param mlp_features  where not nullptr: becomes what the MLP's last projection reads; not of a layer with experts
[[nodiscard]] at::Tensor run_layer(const LayerWeights& weights, const ForwardSpec& spec,
                                   const RotaryTable::Rows& rotary, const Attend& attend, const at::Tensor& hidden,
                                   at::Tensor* mlp_features = nullptr);

/// The same with any block in the place of attention. @param mix  what the block reads -> what it gives
[[nodiscard]] at::Tensor run_blocks(const LayerWeights& weights, const ForwardSpec& spec, const at::Tensor& hidden,
                                    const std::function<at::Tensor(const at::Tensor&)>& mix,
                                    at::Tensor* mlp_features = nullptr);

/// What the attention block reads of a layer's input.
[[nodiscard]] at::Tensor attention_input(const LayerWeights& weights, const ForwardSpec& spec,
                                         const at::Tensor& hidden);

/// The attention block between its norm and its residual sum.
[[nodiscard]] at::Tensor run_attention(const LayerWeights& weights, const ForwardSpec& spec,
                                       const RotaryTable::Rows& rotary, const Attend& attend, const at::Tensor& normed);

/// An MLP up to its last projection.
[[nodiscard]] at::Tensor mlp_features(const MlpWeights& weights, const ForwardSpec& spec, const at::Tensor& x);

[[nodiscard]] at::Tensor activated(const at::Tensor& x, Activation activation, const ActivationCurve& curve = {});

/// Over the last dimension, computed in float32, in x's type.
[[nodiscard]] at::Tensor apply_norm(const at::Tensor& x, const NormWeights& norm, const ForwardSpec& spec);

}  // namespace qcqa
