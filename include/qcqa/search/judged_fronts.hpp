#pragma once

#include <span>
#include <vector>

#include "qcqa/search/layer_search.hpp"

namespace qcqa {

/// The groupings of each layer whose costs another judge than the one that steered the search has to say: all that
/// merge something, and one group for all heads. None stands twice.
[[nodiscard]] std::vector<std::vector<Grouping>> groupings_to_judge(std::span<const LayerFront> fronts);

/// Replaces the costs of the fronts' groupings by the judge's. Keys and values share a cost as they shared the old one;
/// bounds are lost; what a narrower class does better is taken into the wider ones. Layers that the model can spare
/// become cheap, so that a layer budget leaves heads where they matter.
/// @param groupings  what groupings_to_judge() gave for these fronts
/// @param costs      one for each of them, >= 0
void replace_costs(std::vector<LayerFront>& fronts, std::span<const std::vector<Grouping>> groupings,
                   std::span<const std::vector<double>> costs);

}  // namespace qcqa
