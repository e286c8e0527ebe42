#pragma once

#include "fitness/head_blocks.hpp"
#include "qcqa/fitness/merge_method.hpp"
#include "qcqa/plan/grouping.hpp"

namespace qcqa {

/// Weights of a layer whose grouped KV heads are equal, with what differs folded into the query heads' rows and the
/// output projection. Heads alone in their group stay as they are.
/// @param kind           any but reconstruct, which begins from `subspace`
/// @param second_moment  see compute_head_blocks
[[nodiscard]] AttentionWeights merge_heads(const AttentionWeights& weights, const Grouping& grouping, MergeKind kind,
                                           const KeyFreedom& freedom, const at::Tensor& second_moment);

}  // namespace qcqa
