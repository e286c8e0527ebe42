#pragma once

#include <span>
#include <vector>

#include "pipeline/run_state.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/pipeline/session.hpp"
#include "qcqa/statistics/input_statistics.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// Perplexities of the original and of the plan's heads merged in ever better ways, up to what was chosen: shows what
/// the choice was worth. Says them; each is kept.
/// @param statistics  of the calibration text
/// @param windows  what to judge on; only the first few thousand tokens are used
/// @param merged   the plan merged by `options`
[[nodiscard]] std::vector<ComparedMerge> compare_merges(const Model& model, const Plan& plan,
                                                        InputStatistics& statistics,
                                                        std::span<const TokenSequence> windows, const Model& merged,
                                                        const MergeOptions& options, const Session& session,
                                                        RunState& state);

}  // namespace qcqa
