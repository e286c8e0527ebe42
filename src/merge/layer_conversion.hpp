#pragma once

#include <vector>

#include "forward/layer_weights.hpp"
#include "model/attention_weights.hpp"
#include "qcqa/search/grouping.hpp"

namespace qcqa {

/// The layer with one KV head per group, ready to run. Everything but the projections is shared with `original`.
/// @param merged  heads of a group are equal
[[nodiscard]] LayerWeights compact_layer(const LayerWeights& original, const AttentionWeights& merged,
                                         const Grouping& grouping, const Runtime& runtime);

/// The attention weights of a compact layer, every group's head copied to its members.
/// @param like  gives the shapes and whether there is a bias column
[[nodiscard]] AttentionWeights expand_layer(const LayerWeights& compact, const AttentionWeights& like,
                                            const Grouping& grouping);

/// Everything of the layer outside the projections and the output matrix that reconstruction changes: MLP, the output's
/// bias and all norms but the attention's, under the names and in the types of the checkpoint.
[[nodiscard]] std::vector<TensorBytes> surrounding_tensors(const Model& model, int layer, const ForwardSpec& spec,
                                                           const LayerWeights& weights);

}  // namespace qcqa
