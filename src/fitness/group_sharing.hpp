#pragma once

#include <cstdint>
#include <span>

#include "fitness/shared_heads.hpp"
#include "qcqa/fitness/merge_kind.hpp"

namespace qcqa {

/// How the heads of one group share a key and a value head.
struct GroupSharing {
  SharedRows value;
  SharedPlanes planes;       ///< of the rotated key dimensions
  SharedRows rest;           ///< of the others
  at::Tensor norm_shares{};  ///< (members) of the key norms' weights, where each head has its own
};

/// @param kind     any but reconstruct
/// @param members  KV heads, ascending, not empty
[[nodiscard]] GroupSharing share_heads(const HeadBlocks& blocks, std::span<const std::uint8_t> members, MergeKind kind);

/// What the group loses by it: for values, the mean square of what the output projection gets wrong, summed over query
/// heads (each by itself, before the softmax weights); for keys, the mean square error of the scores (before scaling)
/// as a share of their mean square, times the mean square of the values' output, so that both are in one unit.
[[nodiscard]] CostParts sharing_cost(const HeadBlocks& blocks, std::span<const std::uint8_t> members, MergeKind kind);

}  // namespace qcqa
