#pragma once

#include <functional>

#include "forward/layer_weights.hpp"
#include "forward/rotary.hpp"

namespace qcqa {

/// (queries, keys, values), rotated, one row per token -> attention output, one row per token. The way to whatever the
/// tokens attend to: their own sequences, or a cache.
using Attend = std::function<at::Tensor(const at::Tensor&, const at::Tensor&, const at::Tensor&)>;

/// Runs one layer over tokens, in place.
/// @param hidden  (tokens, hidden_size), contiguous
void run_layer(const LayerWeights& weights, const ForwardSpec& spec, const RotaryTable::Rows& rotary,
               const Attend& attend, const Runtime& runtime, at::Tensor hidden);

/// @param x  (..., size), last dimension contiguous
[[nodiscard]] at::Tensor apply_norm(const at::Tensor& x, const NormWeights& norm, const ForwardSpec& spec,
                                    const Runtime& runtime);

}  // namespace qcqa
