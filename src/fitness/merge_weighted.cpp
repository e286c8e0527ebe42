#include <ATen/ATen.h>

#include "fitness/group_sharing.hpp"

namespace qcqa {
namespace {

at::Tensor shares_by_norm(const at::Tensor& squares) {
  const at::Tensor norms = squares.sqrt();
  const double total = norms.sum().item<double>();
  return total > 0 ? norms / total : equal_shares(squares);
}

GroupSharing share_weighted(const HeadBlocks& blocks, std::span<const std::uint8_t> members) {
  return pooled_heads(blocks, members, shares_by_norm);
}

}  // namespace

const MergeMethod kWeightedMerge{.kind = MergeKind::weighted,
                                 .name = "weighted",
                                 .help = "mean weighted by norms",
                                 .sentence = "It is their\nmean weighted by norms; nothing was trained.",
                                 .text = TextUse::none,
                                 .fitness = FitnessKind::wse,
                                 .share = share_weighted};

}  // namespace qcqa
