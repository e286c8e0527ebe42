#include "fitness/group_sharing.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

namespace qcqa {
namespace {

/// The blocks of some heads.
struct GroupBlocks {
  at::Tensor value, value_weight, plane, plane_weight, rest, rest_weight;
};

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

/// Squared norm of each head's rows.
at::Tensor head_squares(const at::Tensor& gram, std::int64_t heads) {
  return gram.diagonal().reshape({heads, -1}).sum(1);
}

at::Tensor shares_of(MergeKind kind, const at::Tensor& squares) {
  const std::int64_t m = squares.size(0);
  if (kind == MergeKind::first) {
    at::Tensor shares = at::zeros_like(squares);
    shares[0] = 1;
    return shares;
  }
  if (kind == MergeKind::weighted) {
    const at::Tensor norms = squares.sqrt();
    const double total = norms.sum().item<double>();
    if (total > 0) return norms / total;
  }
  return at::full_like(squares, 1.0 / static_cast<double>(m));
}

/// Keys that are normalised afterwards: only their directions can be pooled, and only their lengths are free.
at::Tensor direction_shares(const at::Tensor& squares) {
  const at::Tensor norms = squares.sqrt().clamp_min(1e-300);
  return norms.mean() / norms / static_cast<double>(squares.size(0));
}

}  // namespace

GroupSharing share_heads(const HeadBlocks& blocks, std::span<const std::uint8_t> members, MergeKind kind) {
  const auto m = static_cast<std::int64_t>(members.size());
  const GroupBlocks group = blocks_of(blocks, members);
  const std::int64_t planes = blocks.planes;
  const bool turned = kind == MergeKind::aligned || kind == MergeKind::subspace;
  GroupSharing sharing;
  if (kind == MergeKind::subspace) {
    sharing.value = best_shared_rows(group.value, group.value_weight);
  } else if (kind == MergeKind::aligned) {
    sharing.value = aligned_rows(group.value, m);
  } else {
    sharing.value = pooled_rows(shares_of(kind, head_squares(group.value, m)), blocks.head_dim);
  }
  if (turned && blocks.key_scale == KeyScale::any) {
    const bool best = kind == MergeKind::subspace;
    sharing.planes = best ? best_shared_planes(group.plane, group.plane_weight) : aligned_planes(group.plane);
    sharing.rest = best ? best_shared_rows(group.rest, group.rest_weight) : aligned_rows(group.rest, m);
    return sharing;
  }
  const at::Tensor squares = at::real(group.plane.diagonal(0, 1, 2)).sum(0) +
                             (blocks.rest_dim() > 0 ? head_squares(group.rest, m) : at::zeros({m}, at::kDouble));
  const bool by_direction = turned && blocks.key_scale == KeyScale::length;
  const at::Tensor shares = by_direction ? direction_shares(squares) : shares_of(kind, squares);
  sharing.norm_shares = kind == MergeKind::first ? shares : at::full_like(shares, 1.0 / static_cast<double>(m));
  sharing.planes = pooled_planes(shares, planes);
  sharing.rest = pooled_rows(shares, blocks.rest_dim());
  return sharing;
}

CostParts sharing_cost(const HeadBlocks& blocks, std::span<const std::uint8_t> members, MergeKind kind) {
  if (members.size() == 1) return {};
  const GroupBlocks group = blocks_of(blocks, members);
  double keys = 0;
  double values = 0;
  if (kind == MergeKind::subspace) {
    values = least_error_of_rows(group.value, group.value_weight);
    if (blocks.key_scale == KeyScale::any) {
      keys =
          least_error_of_planes(group.plane, group.plane_weight) + least_error_of_rows(group.rest, group.rest_weight);
    }
  }
  if (kind != MergeKind::subspace || blocks.key_scale != KeyScale::any) {
    const GroupSharing sharing = share_heads(blocks, members, kind);
    if (kind != MergeKind::subspace) values = error_of(sharing.value, group.value, group.value_weight);
    keys = error_of(sharing.planes, group.plane, group.plane_weight) +
           error_of(sharing.rest, group.rest, group.rest_weight);
  }
  return {.k = keys * blocks.score_to_output, .v = values};
}

}  // namespace qcqa
