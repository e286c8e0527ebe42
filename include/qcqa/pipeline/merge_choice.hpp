#pragma once

#include <string>

#include "qcqa/pipeline/settings.hpp"

namespace qcqa {

/// A kind of merge with the tokens and steps that it gets, and why.
struct MergeChoice {
  MergeKind kind{};
  ReconstructOptions reconstruct{};
  CalibrationSettings calibration{};
  std::string reason;
};

/// The best merge whose estimated time on this device is within MergeSettings::time_limit: reconstruct on text that the
/// model makes up (and on any calibration given), with fewer tokens and steps where need be; then subspace; then
/// aligned, which needs no tokens. Measures how fast the model runs: two calls may choose otherwise.
[[nodiscard]] MergeChoice choose_merge(const Model& model, const MergeSettings& merge,
                                       const CalibrationSettings& calibration, const ForwardOptions& forward);

/// What --merge reconstruct would be and take here, for people who chose less; empty where it cannot be done.
[[nodiscard]] std::string reconstruct_hint(const Model& model, const MergeSettings& merge,
                                           const CalibrationSettings& calibration, const ForwardOptions& forward);

}  // namespace qcqa
