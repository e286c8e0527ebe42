#include "qcqa/report/plan_comparison.hpp"

#include <fmt/format.h>

namespace qcqa {

std::string text_of(const PlanComparison& comparison) {
  const auto nats = [&](const MeasuredPlan& plan) { return plan.cross_entropy - comparison.original; };
  const std::string fitted = comparison.calibration_tokens > 0
                                 ? fmt::format(" fitted to {} tokens", comparison.calibration_tokens)
                                 : std::string();
  return fmt::format(
      "{} KV heads chosen layer by layer: cross-entropy {:+.4f} nats from the original's {:.4f}; "
      "{} KV heads, as many in every layer: {:+.4f}; difference {:+.4f} +/- {:.4f} on {} tokens that neither saw "
      "(merge {}{}). Taken: {}.",
      comparison.per_layer.kv_heads, nats(comparison.per_layer), comparison.original, comparison.uniform.kv_heads,
      nats(comparison.uniform), comparison.difference, comparison.difference_error, comparison.tokens,
      merge_kind_name(comparison.merge), fitted,
      comparison.takes_uniform ? "as many in every layer" : "layer by layer");
}

}  // namespace qcqa
