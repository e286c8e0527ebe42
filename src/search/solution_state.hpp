#pragma once

#include "checkpoint/json_view.hpp"
#include "search/layer_solver.hpp"

namespace qcqa {

/// A finished layer in a saved search, and back. Costs are not saved, they follow from the groupings; bounds are, for
/// finding them again would be the whole search.
[[nodiscard]] nlohmann::json save_solution(const LayerSolution& solution);
/// @throws Error(corrupt)
[[nodiscard]] LayerSolution restore_solution(const JsonView& saved, int heads);

}  // namespace qcqa
