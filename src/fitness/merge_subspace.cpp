#include "fitness/merge_subspace.hpp"

#include <ATen/ATen.h>

namespace qcqa {
namespace {

SharedRows share_values(const HeadBlocks& blocks, const GroupBlocks& group) {
  return blocks.fixed_values ? best_shared_numbers(group.value, group.value_weight)
                             : best_shared_rows(group.value, group.value_weight);
}

}  // namespace

GroupSharing share_subspace(const HeadBlocks& blocks, std::span<const std::uint8_t> members) {
  const GroupBlocks group = blocks_of(blocks, members);
  GroupSharing sharing;
  sharing.value = share_values(blocks, group);
  if (blocks.key_scale == KeyScale::any) {
    sharing.planes = best_shared_planes(group.plane, group.plane_weight);
    sharing.rest = best_shared_rows(group.rest, group.rest_weight);
  } else {
    pool_keys(blocks, group, sharing);
  }
  return sharing;
}

CostParts subspace_loss(const HeadBlocks& blocks, std::span<const std::uint8_t> members) {
  const GroupBlocks group = blocks_of(blocks, members);
  CostParts loss{.k = 0,
                 .v = blocks.fixed_values ? error_of(share_values(blocks, group), group.value, group.value_weight)
                                          : least_error_of_rows(group.value, group.value_weight)};
  if (blocks.key_scale == KeyScale::any) {
    loss.k = blocks.score_to_output * (least_error_of_planes(group.plane, group.plane_weight) +
                                       least_error_of_rows(group.rest, group.rest_weight));
  } else {
    GroupSharing keys;
    pool_keys(blocks, group, keys);
    loss.k = key_loss(blocks, group, keys);
  }
  return loss;
}

const MergeMethod kSubspaceMerge{
    .kind = MergeKind::subspace,
    .name = "subspace",
    .help = "best shared subspace, the rest folded into queries and output; better with --calibrate",
    .sentence =
        "It spans the\nbest shared subspace; what differs was folded into queries and output. Nothing was "
        "trained.",
    .text = TextUse::helps,
    .fitness = FitnessKind::subspace,
    .share = share_subspace,
    .loss = subspace_loss};

}  // namespace qcqa
