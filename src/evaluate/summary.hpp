#pragma once

#include <span>
#include <vector>

#include "evaluate/scoring.hpp"
#include "qcqa/evaluate/evaluate.hpp"

namespace qcqa {

/// Means and standard errors.
/// @param scores  per window its predicted tokens, in order
[[nodiscard]] Evaluation summarise(std::span<const TokenSequence> windows,
                                   const std::vector<std::vector<TokenScore>>& scores, bool with_reference);

/// The same means by the position of the tokens that predict; buckets without any are left out.
[[nodiscard]] std::vector<PositionBucket> by_position(std::span<const TokenSequence> windows,
                                                      const std::vector<std::vector<TokenScore>>& scores,
                                                      bool with_reference);

}  // namespace qcqa
