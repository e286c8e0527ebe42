#pragma once

#include <cstddef>
#include <cstdint>

#include "pipeline/run_state.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/pipeline/session.hpp"
#include "qcqa/pipeline/settings.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// The token that made-up text begins with. @throws Error(unsupported) when there is none
[[nodiscard]] TokenId bos_token(const Model& model);

/// Reads the texts and samples from the model; tells how much that was and how long it took. What was sampled is kept.
/// @param seed   of the sampling
/// @param state  nullptr: nothing is kept
[[nodiscard]] TokenSequences collect_calibration(const Model& model, const CalibrationSettings& settings,
                                                 std::uint64_t seed, const ForwardOptions& forward,
                                                 const Session& session, RunState* state);

/// Adds to a run's identity what tells its model and its calibration's texts from others; what is beyond the tokens
/// that are read of a text does not count.
/// @throws Error(not_found, io, corrupt, unsupported) as reading the texts would
void add_inputs(nlohmann::json& identity, const Model& model, const CalibrationSettings& settings);

/// One sequence in this many is held back for a comparison of merges, whose differences are large.
inline constexpr std::size_t kHoldBackEvery = 32;

/// Takes one sequence in `every` out of a calibration, so that results can be judged on what they did not see.
[[nodiscard]] TokenSequences hold_back(TokenSequences& calibration, std::size_t every = kHoldBackEvery);

}  // namespace qcqa
