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

}  // namespace qcqa
