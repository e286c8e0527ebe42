#pragma once

#include <vector>

#include "forward/layer_weights.hpp"
#include "model/attention_weights.hpp"
#include "qcqa/merge/merge.hpp"

namespace qcqa {

/// Whether the layer's queries, keys and values have biases that may change: one that the checkpoint has no tensor for
/// could not be stored.
[[nodiscard]] bool has_biases(const AttentionLayer& layer);

/// Everything of a layer that a fit of this scope may have changed, under the names and in the types of the checkpoint:
/// attention, and in a block the MLP, the output's bias and all norms but the attention's.
/// @param compact  one KV head per group; its members get a copy each
[[nodiscard]] std::vector<TensorBytes> fitted_tensors(const Model& model, int layer, const LayerWeights& compact,
                                                      const Grouping& grouping, ReconstructScope scope);

}  // namespace qcqa
