#pragma once

#include <cstdint>

#include "qcqa/merge/merge.hpp"

namespace qcqa {

/// Seconds that a merge would take on this device, roughly: a layer and the output matrix are run over a few tokens for it.
/// @param tokens   of calibration in all
/// @param sampled  how many of them the model still has to make up
/// @throws Error(unsupported) when the family's forward pass is not known
[[nodiscard]] double estimate_merge_seconds(const Model& model, const MergeOptions& options, std::int64_t tokens,
                                            std::int64_t sampled);

}  // namespace qcqa
