#include "qcqa/search/judged_fronts.hpp"

#include <algorithm>

namespace qcqa {
namespace {

double judged_cost(std::span<const Grouping> groupings, std::span<const double> costs, const Grouping& grouping) {
  const auto found = std::ranges::find(groupings, grouping);
  return found == groupings.end() ? 0 : costs[static_cast<std::size_t>(found - groupings.begin())];
}

void replace_cost(LayerGrouping& entry, double cost) {
  const double keys = entry.cost > 0 ? entry.parts.k / entry.cost : 0;
  entry.parts = {.k = cost * keys, .v = cost * (1 - keys)};
  entry.cost = cost;
  entry.lower_bound = 0;
  entry.proven = cost == 0;
}

/// What a narrower class does better is open to a wider one too.
void take_from_narrower(std::vector<LayerGrouping>& groupings) {
  for (LayerGrouping& wide : groupings) {
    for (const LayerGrouping& narrow : groupings) {
      if (narrow.cardinality <= wide.cardinality || narrow.grouping.groups() != wide.grouping.groups()) continue;
      if (narrow.cost >= wide.cost) continue;
      const Cardinality cardinality = wide.cardinality;
      wide = narrow;
      wide.cardinality = cardinality;
    }
  }
}

}  // namespace

std::vector<std::vector<Grouping>> groupings_to_judge(std::span<const LayerFront> fronts) {
  std::vector<std::vector<Grouping>> result;
  for (const LayerFront& front : fronts) {
    std::vector<Grouping>& groupings = result.emplace_back();
    const auto add = [&](const Grouping& grouping) {
      if (std::ranges::find(groupings, grouping) == groupings.end()) groupings.push_back(grouping);
    };
    for (const LayerGrouping& entry : front.groupings) {
      if (entry.grouping.groups() < front.heads) add(entry.grouping);
    }
    if (front.heads > 1) add(Grouping::contiguous(front.heads, 1));
  }
  return result;
}

void replace_costs(std::vector<LayerFront>& fronts, std::span<const std::vector<Grouping>> groupings,
                   std::span<const std::vector<double>> costs) {
  for (std::size_t l = 0; l < fronts.size(); ++l) {
    LayerFront& front = fronts[l];
    for (LayerGrouping& entry : front.groupings) {
      replace_cost(entry, judged_cost(groupings[l], costs[l], entry.grouping));
    }
    take_from_narrower(front.groupings);
    front.one_group_cost = judged_cost(groupings[l], costs[l], Grouping::contiguous(front.heads, 1));
  }
}

}  // namespace qcqa
