#pragma once

#include "statistics/layer_runner.hpp"

namespace qcqa {

/// Tokens per column of a second moment that are enough to know it.
inline constexpr std::int64_t kMomentTokensPerColumn = 64;

/// Mean of x x^T over tokens, x the input of a layer's attention, with a 1 below it where there are biases. Tokens of
/// massive activations count for about an eighth of the whole: they are one in hundreds, and heads that have nothing to
/// say rest on them. Takes no more batches than it needs, evenly spread.
/// @param hidden  (tokens, hidden_size): what goes into the layer
/// @param inputs  hidden_size, or one more where there are biases
/// @returns (inputs, inputs) float64 on the CPU
[[nodiscard]] at::Tensor second_moment(const LayerRunner& runner, const at::Tensor& hidden, const LayerWeights& layer,
                                       std::int64_t inputs);

/// The same for hidden states of any direction alike, when there are no tokens to look at: what the norm before the
/// attention makes of them. Needs nothing of the family's forward pass.
[[nodiscard]] at::Tensor isotropic_moment(const Model& model, int layer, std::int64_t inputs);

}  // namespace qcqa
