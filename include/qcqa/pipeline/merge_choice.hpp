#pragma once

#include <string>

#include "qcqa/merge/estimate.hpp"
#include "qcqa/pipeline/settings.hpp"

namespace qcqa {

/// Whether two plans may have to be merged and measured first.
enum class ComparePlans { no, maybe };

/// Whether the search measures layers, see MeasuredCosts.
enum class MeasureLayers { no, yes };

/// A kind of merge with the tokens and steps that it gets, and why.
struct MergeChoice {
  MergeKind kind{};
  ReconstructOptions reconstruct{};
  CalibrationSettings calibration{};
  std::string reason;
  bool compares_plans = false;  ///< whether there is time for two plans, if they have to be compared
  bool measures_layers = false;
  double seconds = 0;  ///< estimated, for all of that too
};

/// The best merge whose estimated time on this device is within MergeSettings::time_limit: reconstruct on text that the
/// model makes up (and on any calibration given), with fewer tokens and steps where need be, then (few layers) with
/// steps layer by layer alone, then with steps of all layers together alone, as many as there is time for; then refit;
/// then subspace; then aligned, which needs no tokens. Plans are compared where that leaves time for the same merge,
/// with fewer steps if need be.
/// Measures how fast the model runs: two calls may choose otherwise.
[[nodiscard]] MergeChoice choose_merge(const Model& model, const MergeSettings& merge,
                                       const CalibrationSettings& calibration, const ForwardOptions& forward,
                                       ComparePlans plans = ComparePlans::no, MeasureLayers layers = MeasureLayers::no);
/// The same of a model that can be run, on a device of this speed. @param calibration  given
[[nodiscard]] MergeChoice choose_merge(const Model& model, const ModelSpeed& speed, const MergeSettings& merge,
                                       const CalibrationSettings& calibration, const ForwardOptions& forward,
                                       ComparePlans plans = ComparePlans::no, MeasureLayers layers = MeasureLayers::no);

/// The options of a better merge that MergeSettings::time_limit has room for and what it takes, in a sentence for
/// people who chose less; empty where there is none.
[[nodiscard]] std::string better_merge(const Model& model, MergeKind used, const MergeSettings& merge,
                                       const CalibrationSettings& calibration, const ForwardOptions& forward);

}  // namespace qcqa
