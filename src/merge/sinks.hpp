#pragma once

#include "statistics/layer_runner.hpp"

namespace qcqa {

/// Tokens that a model stands or falls with, though they are few: the first of every sequence, to which heads attend
/// that have nothing to say (attention sinks, arXiv 2309.17453), and those whose stream is far longer than all others'
/// (massive activations, arXiv 2402.17762).
/// @param stream  (tokens, hidden_size): the original's
/// @returns (tokens), bool
[[nodiscard]] at::Tensor find_sinks(const LayerRunner& runner, const at::Tensor& stream);

/// Share of attention that goes to sinks: mean over heads and over those tokens of some batches that are none.
/// @param stream  (tokens, hidden_size): what goes into the layer
[[nodiscard]] double sink_mass(const LayerRunner& runner, const at::Tensor& sinks, const LayerWeights& weights,
                               int layer, const at::Tensor& stream, std::span<const std::size_t> batches);

}  // namespace qcqa
