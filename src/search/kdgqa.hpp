#pragma once

#include "qcqa/fitness/pairwise_cost.hpp"
#include "qcqa/plan/grouping.hpp"

namespace qcqa {

/// The cost as one that kdgqa_grouping() can use, or nullptr.
[[nodiscard]] const PairwiseCost* with_key_norms(const GroupCost& cost) noexcept;

/// Groups of neighbouring heads whose sizes follow the norms of the keys: KDGQA of Khan, Amini Naieni, Singh et al.,
/// "Beyond uniform query distribution: key-driven grouped query attention", arXiv 2408.08454, section 3.1.
///
/// Each of `groups` contiguous equal groups is pooled; the norms of the pooled keys are scaled to [0, 1] from least to
/// largest, and the heads are dealt out in these proportions, rounded, the largest group giving and the smallest taking
/// what is left over. Two things differ from the paper, which reassigns queries of an already pooled model: groups pool
/// their own members, and no group is left empty.
///
/// @param cost    with norms_k()
/// @param groups  from 1 to heads; where it does not divide the heads, the first groups to be pooled have one head more
[[nodiscard]] Grouping kdgqa_grouping(const PairwiseCost& cost, int groups);

}  // namespace qcqa
