#pragma once

#include "forward/layer_weights.hpp"
#include "model/attention_weights.hpp"
#include "qcqa/plan/grouping.hpp"

namespace qcqa {

/// The layer with one KV head per group, ready to run. Everything but the projections is shared with `original`.
/// @param merged  heads of a group are equal
[[nodiscard]] LayerWeights compact_layer(const LayerWeights& original, const AttentionWeights& merged,
                                         const Grouping& grouping, const Runtime& runtime);

/// The attention weights of a compact layer, every group's head copied to its members.
/// @param like  gives the shapes and whether there is a bias column
[[nodiscard]] AttentionWeights expand_layer(const LayerWeights& compact, const AttentionWeights& like,
                                            const Grouping& grouping);

}  // namespace qcqa
