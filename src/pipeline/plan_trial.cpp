#include "pipeline/plan_trial.hpp"

#include <algorithm>
#include <cmath>

#include "merge/work.hpp"
#include "pipeline/merge_comparison.hpp"
#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/merge/pooled_model.hpp"

namespace qcqa {
namespace {

/// Enough for the closed form to tell plans apart.
constexpr std::int64_t kTrialTokens = 8192;

}  // namespace

PlanTrial plan_trial(const MergeOptions& options, std::int64_t tokens) {
  PlanTrial trial{.options = options, .tokens = tokens, .is_the_merge = true};
  const MergeMethod& method = merge_method(options.kind);
  // One fit more on all tokens, or two on few of them: what is less work.
  const bool is_cheap = !method.is_fitted || tokens <= 2 * kTrialTokens;
  if (!method.takes_steps && is_cheap) return trial;
  if (method.takes_steps) trial.options.kind = MergeKind::refit;
  trial.tokens = std::min(tokens, kTrialTokens);
  trial.is_the_merge = false;
  return trial;
}

double estimate_trial_seconds(const Model& model, const ModelSpeed& speed, const MergeOptions& options,
                              std::int64_t tokens) {
  const PlanTrial trial = plan_trial(options, tokens);
  const double fits = trial.is_the_merge ? 1 : 2;
  const double passes =
      fits * static_cast<double>(merge_work(model, trial.options, trial.tokens, {.passes = speed.step_passes})) /
      static_cast<double>(model.layers().size());
  const double measured = 2 * static_cast<double>(kComparedTokens);
  return speed.layers * passes + (speed.layers + speed.head) * measured;
}

PlanComparison measure_plans(const TriedPlan& per_layer, const TriedPlan& uniform, double original,
                             std::span<const TokenSequence> windows, const ForwardOptions& forward,
                             const ProgressFn& progress) {
  const Model beside = rounded_model(uniform.merged.model, {});
  const Evaluation measured =
      evaluate(rounded_model(per_layer.merged.model, {}), &beside, windows, {.forward = forward}, progress);
  const ReferenceComparison& reference = *measured.reference;
  return {.merge = per_layer.merged.summary.kind,
          .calibration_tokens = per_layer.merged.summary.calibration_tokens,
          .tokens = measured.tokens,
          .original = std::log(original),
          .per_layer = {.kv_heads = per_layer.plan.kv_heads(), .cross_entropy = measured.cross_entropy},
          .uniform = {.kv_heads = uniform.plan.kv_heads(), .cross_entropy = reference.cross_entropy},
          .difference = reference.difference,
          .difference_error = reference.difference_error,
          // What is measured is what counts in the end, but these are few tokens, and the costs that speak for the plan
          // chosen layer by layer come from all of the calibration: they decide what is within the error.
          .takes_uniform = reference.difference > reference.difference_error};
}

}  // namespace qcqa
