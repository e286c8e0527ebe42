#include "fitness/group_sharing.hpp"

#include <ATen/ATen.h>

#include <vector>

namespace qcqa {
namespace {

/// Squared norm of each head's rows.
at::Tensor head_squares(const at::Tensor& gram, std::int64_t heads) {
  return gram.diagonal().reshape({heads, -1}).sum(1);
}

at::Tensor key_squares(const HeadBlocks& blocks, const GroupBlocks& group) {
  const std::int64_t m = group.plane.size(1);
  const at::Tensor planes = at::real(group.plane.diagonal(0, 1, 2)).sum(0);
  return blocks.rest_dim() > 0 ? planes + head_squares(group.rest, m) : planes;
}

at::Tensor direction_shares(const at::Tensor& squares) {
  const at::Tensor norms = squares.sqrt().clamp_min(1e-300);
  return norms.mean() / norms / static_cast<double>(squares.size(0));
}

void share_keys(const HeadBlocks& blocks, const at::Tensor& shares, GroupSharing& sharing) {
  sharing.planes = pooled_planes(shares, blocks.planes);
  sharing.rest = pooled_rows(shares, blocks.rest_dim());
}

}  // namespace

GroupBlocks blocks_of(const HeadBlocks& blocks, std::span<const std::uint8_t> members) {
  const std::vector<std::int64_t> heads(members.begin(), members.end());
  const at::Tensor index = at::tensor(at::ArrayRef<std::int64_t>(heads));
  return {.value = select_heads(blocks.value, index, blocks.head_dim),
          .value_weight = blocks.value_weight.index_select(0, index),
          .plane = blocks.plane.index_select(1, index).index_select(2, index),
          .plane_weight = blocks.plane_weight.index_select(1, index),
          .rest = select_heads(blocks.rest, index, blocks.rest_dim()),
          .rest_weight = blocks.rest_weight.index_select(0, index)};
}

at::Tensor equal_shares(const at::Tensor& squares) {
  return at::full_like(squares, 1.0 / static_cast<double>(squares.size(0)));
}

GroupSharing pooled_heads(const HeadBlocks& blocks, std::span<const std::uint8_t> members, SharesOf shares,
                          SharesOf norm_shares) {
  const auto m = static_cast<std::int64_t>(members.size());
  const GroupBlocks group = blocks_of(blocks, members);
  const at::Tensor squares = key_squares(blocks, group);
  GroupSharing sharing;
  sharing.value = pooled_rows(shares(head_squares(group.value, m)), blocks.head_dim);
  share_keys(blocks, shares(squares), sharing);
  sharing.norm_shares = norm_shares(squares);
  return sharing;
}

void pool_keys(const HeadBlocks& blocks, const GroupBlocks& group, GroupSharing& sharing) {
  const at::Tensor squares = key_squares(blocks, group);
  share_keys(blocks, blocks.key_scale == KeyScale::length ? direction_shares(squares) : equal_shares(squares), sharing);
  sharing.norm_shares = equal_shares(squares);
}

double key_loss(const HeadBlocks& blocks, const GroupBlocks& group, const GroupSharing& sharing) {
  return blocks.score_to_output * (error_of(sharing.planes, group.plane, group.plane_weight) +
                                   error_of(sharing.rest, group.rest, group.rest_weight));
}

CostParts sharing_cost(const HeadBlocks& blocks, std::span<const std::uint8_t> members, MergeKind kind) {
  if (members.size() == 1) return {};
  const MergeMethod& method = merge_method(kind);
  if (method.loss != nullptr) return method.loss(blocks, members);
  const GroupBlocks group = blocks_of(blocks, members);
  const GroupSharing sharing = method.share(blocks, members);
  return {.k = key_loss(blocks, group, sharing), .v = error_of(sharing.value, group.value, group.value_weight)};
}

}  // namespace qcqa
