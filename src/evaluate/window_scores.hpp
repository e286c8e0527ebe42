#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evaluate/scoring.hpp"
#include "forward/transformer.hpp"
#include "qcqa/evaluate/evaluate.hpp"

namespace qcqa {

/// Runs the model, and the reference beside it, as evaluate() says.
/// @returns per window its predicted tokens, in order
/// @throws as evaluate()
[[nodiscard]] std::vector<std::vector<TokenScore>> score_windows(const Model& model, const Model* reference,
                                                                 std::span<const TokenSequence> windows,
                                                                 const EvaluateOptions& options,
                                                                 const ProgressFn& progress);

/// Rows of logits that are in memory at a time.
[[nodiscard]] std::int64_t logit_rows(const Transformer& transformer);

}  // namespace qcqa
