#include <ATen/ATen.h>

#include "fitness/group_sharing.hpp"

namespace qcqa {
namespace {

GroupSharing share_mean(const HeadBlocks& blocks, std::span<const std::uint8_t> members) {
  return pooled_heads(blocks, members, equal_shares);
}

}  // namespace

/// Mean pooling (GQA, arXiv 2305.13245, section 2.1).
const MergeMethod kMeanMerge{.kind = MergeKind::mean,
                             .name = "mean",
                             .help = "mean pooling, as the papers",
                             .sentence = "It is their\nmean; nothing was trained.",
                             .text = TextUse::none,
                             .pooled = Pooled::all,
                             .fitness = FitnessKind::wse,
                             .share = share_mean};

}  // namespace qcqa
