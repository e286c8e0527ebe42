#pragma once

#include <cstdint>
#include <span>

#include "qcqa/merge/estimate.hpp"
#include "qcqa/report/plan_comparison.hpp"
#include "qcqa/support/progress.hpp"

namespace qcqa {

/// How two plans are merged to be compared: as the run merges, or, where steps follow, by the closed form that they
/// begin with. Simpler merges than the run's own tell little: layers that are merged one by one multiply their errors,
/// and the plan that suffers least from that need not be the one which is fitted best.
struct PlanTrial {
  MergeOptions options;
  std::int64_t tokens = 0;    ///< of the calibration
  bool is_the_merge = false;  ///< what the better plan comes to is the run's merge, and not made again
};
/// @param options  of the run's merge
/// @param tokens   of its calibration
[[nodiscard]] PlanTrial plan_trial(const MergeOptions& options, std::int64_t tokens);

/// Seconds that this adds to the run's merge, roughly.
[[nodiscard]] double estimate_trial_seconds(const Model& model, const ModelSpeed& speed, const MergeOptions& options,
                                            std::int64_t tokens);

struct TriedPlan {
  const Plan& plan;
  const MergeResult& merged;
};

/// Measures two plans, merged alike, on windows that neither was fitted to.
/// @param original  the perplexity of the model that they are of
[[nodiscard]] PlanComparison measure_plans(const TriedPlan& per_layer, const TriedPlan& uniform, double original,
                                           std::span<const TokenSequence> windows, const ForwardOptions& forward,
                                           const ProgressFn& progress);

}  // namespace qcqa
