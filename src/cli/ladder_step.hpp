#pragma once

#include <vector>

#include "cli/calibration.hpp"
#include "cli/merge_step.hpp"
#include "qcqa/evaluate/evaluate.hpp"

namespace qcqa::cli {

/// Takes some sequences out of a calibration, so that merges can be judged on what they did not see.
[[nodiscard]] TokenSequences hold_back(TokenSequences& calibration);

/// Perplexities of the original and of the plan's heads merged in ever better ways, up to what was chosen: shows what
/// the choice was worth. Prints them.
/// @param windows  what to judge on; only the first few thousand tokens are used
[[nodiscard]] std::vector<MergeRung> climb_ladder(const Model& model, const Plan& plan,
                                                  const TokenSequences& calibration,
                                                  std::span<const TokenSequence> windows, const MergeStep& merged,
                                                  const MergeOptions& options, Console& console);

}  // namespace qcqa::cli
