#include "search/measured_layers.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <nlohmann/json.hpp>

#include "qcqa/support/error.hpp"
#include "search/saved_json.hpp"

namespace qcqa {
namespace {

/// Every grouping once, but for all heads, which costs nothing; one group too, the unit of normalised costs.
std::vector<Grouping> groupings_of(const LayerFront& front) {
  std::vector<Grouping> groupings;
  const auto add = [&](const Grouping& grouping) {
    if (grouping.groups() < front.heads && std::ranges::find(groupings, grouping) == groupings.end())
      groupings.push_back(grouping);
  };
  for (const auto* entries : {&front.groupings, &front.kdgqa}) {
    for (const LayerGrouping& entry : *entries) add(entry.grouping);
  }
  add(Grouping::contiguous(front.heads, 1));
  return groupings;
}

void set_cost(LayerGrouping& entry, double cost) {
  const double keys = entry.cost > 0 ? entry.parts.k / entry.cost : 0;
  entry.parts = {.k = cost * keys, .v = cost * (1 - keys)};
  entry.cost = cost;
  entry.lower_bound = 0;
  entry.proven = cost == 0;
}

/// What a narrower class does better is open to a wider one too.
void take_from_narrower_classes(std::vector<LayerGrouping>& groupings) {
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

void set_costs(LayerFront& front, const std::vector<Grouping>& groupings, const std::vector<double>& costs) {
  const auto cost_of = [&](const Grouping& grouping) {
    const auto found = std::ranges::find(groupings, grouping);
    return found == groupings.end() ? 0 : costs[static_cast<std::size_t>(found - groupings.begin())];
  };
  for (auto* entries : {&front.groupings, &front.kdgqa}) {
    for (LayerGrouping& entry : *entries) set_cost(entry, cost_of(entry.grouping));
  }
  take_from_narrower_classes(front.groupings);
  front.one_group_cost = cost_of(Grouping::contiguous(front.heads, 1));
}

bool is_cost(double value) { return std::isfinite(value) && value >= 0; }

}  // namespace

MeasuredLayers::MeasuredLayers(std::vector<LayerFront> fronts) : fronts_(std::move(fronts)) {
  for (const LayerFront& front : fronts_) groupings_.push_back(groupings_of(front));
}

void MeasuredLayers::measure_next(const GroupingCosts& measure) {
  const std::size_t layer = costs_.size();
  std::vector<double> costs = measure(fronts_[layer].layer, groupings_[layer]);
  const auto bad = std::ranges::find_if_not(costs, is_cost);
  if (costs.size() != groupings_[layer].size() || bad != costs.end()) {
    throw Error(ErrorKind::unsupported, "layer " + std::to_string(layer),
                "a grouping must have one finite cost of 0 or more",
                bad != costs.end() ? std::to_string(*bad) : std::to_string(costs.size()) + " costs");
  }
  costs_.push_back(std::move(costs));
}

std::vector<LayerFront> MeasuredLayers::fronts() const {
  std::vector<LayerFront> fronts = fronts_;
  for (std::size_t l = 0; l < costs_.size(); ++l) set_costs(fronts[l], groupings_[l], costs_[l]);
  return fronts;
}

nlohmann::json MeasuredLayers::save() const { return costs_; }

void MeasuredLayers::restore(const JsonView& saved) {
  for (const JsonView& layer : read_items(saved, fronts_.size())) {
    auto& costs = costs_.emplace_back();
    for (const JsonView& cost : layer.items(groupings_[costs_.size() - 1].size(), "grouping")) {
      costs.push_back(cost.number(0));
    }
  }
}

}  // namespace qcqa
