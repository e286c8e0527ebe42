#pragma once

#include <cstdint>
#include <string>

#include "qcqa/fitness/merge_method.hpp"

namespace qcqa {

/// A plan that was merged and measured.
struct MeasuredPlan {
  int kv_heads = 0;          ///< of all layers
  double cross_entropy = 0;  ///< per token, in nats
};

/// A plan chosen layer by layer beside a uniform one of about its size, merged alike and measured on the same tokens
/// that neither saw.
struct PlanComparison {
  MergeKind merge{};                    ///< what both were merged by
  std::int64_t calibration_tokens = 0;  ///< that both were fitted to
  std::int64_t tokens = 0;              ///< predicted
  double original = 0;                  ///< the original's cross-entropy
  MeasuredPlan per_layer{}, uniform{};
  double difference = 0;        ///< cross-entropy of the plan chosen layer by layer less that of the uniform one
  double difference_error = 0;  ///< standard error of it, paired
  bool takes_uniform = false;
};

/// Both figures and what was taken, in a sentence or two for people.
[[nodiscard]] std::string text_of(const PlanComparison& comparison);

}  // namespace qcqa
