#include <ATen/ATen.h>

#include "fitness/group_sharing.hpp"

namespace qcqa {
namespace {

at::Tensor all_to_the_first(const at::Tensor& squares) {
  at::Tensor shares = at::zeros_like(squares);
  shares[0] = 1;
  return shares;
}

GroupSharing share_first(const HeadBlocks& blocks, std::span<const std::uint8_t> members) {
  return pooled_heads(blocks, members, all_to_the_first, all_to_the_first);
}

}  // namespace

/// The group's first head (GQA, arXiv 2305.13245, an ablation of section 3.3).
const MergeMethod kFirstMerge{.kind = MergeKind::first,
                              .name = "first",
                              .help = "each group's first head",
                              .sentence = "It is the\ngroup's first; nothing was trained.",
                              .text = TextUse::none,
                              .pooled = Pooled::first,
                              .fitness = FitnessKind::wse,
                              .share = share_first};

}  // namespace qcqa
