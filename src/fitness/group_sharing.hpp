#pragma once

#include <cstdint>
#include <span>

#include "fitness/shared_heads.hpp"
#include "qcqa/fitness/merge_method.hpp"

namespace qcqa {

/// The blocks of some heads.
struct GroupBlocks {
  at::Tensor value, value_weight, plane, plane_weight, rest, rest_weight;
};
[[nodiscard]] GroupBlocks blocks_of(const HeadBlocks& blocks, std::span<const std::uint8_t> members);

/// How the heads of one group share a key and a value head.
struct GroupSharing {
  SharedRows value;
  SharedPlanes planes;       ///< of the rotated key dimensions
  SharedRows rest;           ///< of the others
  at::Tensor norm_shares{};  ///< (members) of the key norms' weights, where each head has its own
};

/// Shares of heads in their sum, from the squared norms of their rows. @param squares  (members)
using SharesOf = at::Tensor (*)(const at::Tensor& squares);
[[nodiscard]] at::Tensor equal_shares(const at::Tensor& squares);

/// Sums of the heads as they are, values and keys each with shares of their own.
[[nodiscard]] GroupSharing pooled_heads(const HeadBlocks& blocks, std::span<const std::uint8_t> members,
                                        SharesOf shares, SharesOf norm_shares = equal_shares);

/// The same of the keys alone, for merges that turn keys where they may not: by direction where keys are normalised
/// head by head, and so only their lengths are free.
void pool_keys(const HeadBlocks& blocks, const GroupBlocks& group, GroupSharing& sharing);

/// What the group loses by it: for values, the mean square of what the output projection gets wrong, summed over query
/// heads (each by itself, before the softmax weights); for keys, the mean square error of the scores (before scaling)
/// as a share of their mean square, times the mean square of the values' output, so that both are in one unit.
/// @param members  KV heads, ascending, not empty
[[nodiscard]] CostParts sharing_cost(const HeadBlocks& blocks, std::span<const std::uint8_t> members, MergeKind kind);

/// The keys' part of it.
[[nodiscard]] double key_loss(const HeadBlocks& blocks, const GroupBlocks& group, const GroupSharing& sharing);

}  // namespace qcqa
