#pragma once

#include "fitness/group_sharing.hpp"

namespace qcqa {

/// The best shared subspace of the heads, as measured by the inputs' second moment: what other merges begin with.
[[nodiscard]] GroupSharing share_subspace(const HeadBlocks& blocks, std::span<const std::uint8_t> members);
[[nodiscard]] CostParts subspace_loss(const HeadBlocks& blocks, std::span<const std::uint8_t> members);

}  // namespace qcqa
