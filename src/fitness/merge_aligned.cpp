#include <ATen/ATen.h>

#include "fitness/group_sharing.hpp"

namespace qcqa {
namespace {

GroupSharing share_aligned(const HeadBlocks& blocks, std::span<const std::uint8_t> members) {
  const auto m = static_cast<std::int64_t>(members.size());
  const GroupBlocks group = blocks_of(blocks, members);
  GroupSharing sharing;
  sharing.value = blocks.fixed_values ? best_shared_numbers(group.value, at::ones_like(group.value_weight))
                                      : aligned_rows(group.value, m);
  if (blocks.key_scale == KeyScale::any) {
    sharing.planes = aligned_planes(group.plane);
    sharing.rest = aligned_rows(group.rest, m);
  } else {
    pool_keys(blocks, group, sharing);
  }
  return sharing;
}

}  // namespace

/// Bases aligned first, then the mean with norms restored (arXiv 2412.20677, section 3, without training).
const MergeMethod kAlignedMerge{.kind = MergeKind::aligned,
                                .name = "aligned",
                                .help = "bases aligned, then the mean",
                                .sentence = "Their bases\nwere aligned before they were averaged; nothing was trained.",
                                .text = TextUse::helps,
                                .fitness = FitnessKind::aligned,
                                .share = share_aligned};

}  // namespace qcqa
