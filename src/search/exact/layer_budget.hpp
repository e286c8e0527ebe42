#pragma once

#include <vector>

#include "search/evolution/model_problem.hpp"

namespace qcqa {

/// The exact choice of one option per layer for every total number of groups at once: the multiple-choice knapsack
/// problem by dynamic programming over layers (Kellerer, Pferschy, Pisinger, "Knapsack Problems", 2004, section 11.5).
/// O(layers * options * total). In the form of ModelProblem's archive: indexed by total, empty genome where there is
/// none.
[[nodiscard]] std::vector<ModelProblem::Best> best_by_budget(const std::vector<std::vector<LayerOption>>& options);

}  // namespace qcqa
