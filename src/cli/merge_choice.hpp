#pragma once

#include <string>

#include "cli/merge_step.hpp"

namespace qcqa::cli {

/// What --merge auto comes to for a model on this device, and why.
struct MergeChoice {
  MergeFlags flags;  ///< with a kind and calibration of their own
  std::string reason;
};

/// The best merge whose estimated time is within --time-limit: reconstruct on text that the model makes up (and on any
/// --calibrate given), with fewer tokens and steps where need be; then subspace; then aligned, which needs no tokens.
[[nodiscard]] MergeChoice choose_merge(const Model& model, const MergeFlags& flags, const ForwardOptions& forward);

/// What --merge reconstruct would be and take here, for people who chose less; empty where it cannot be done.
[[nodiscard]] std::string reconstruct_hint(const Model& model, const MergeFlags& flags, const ForwardOptions& forward);

/// "90", "90s", "30m", "1.5h": seconds. @throws Error(invalid_argument)
[[nodiscard]] double parse_duration(const std::string& text, const std::string& option);

}  // namespace qcqa::cli
