#pragma once

#include <vector>

#include "qcqa/plan/plan.hpp"

namespace qcqa::testing {

using Labels = std::vector<std::vector<int>>;

/// A plan of these groups, a row of labels per layer.
inline Plan plan_of(const Labels& labels) {
  Plan plan;
  for (const auto& layer : labels)
    plan.layers.push_back({Grouping::from_labels(layer), static_cast<int>(plan.layers.size())});
  plan.origin = "a test";
  return plan;
}

}  // namespace qcqa::testing
