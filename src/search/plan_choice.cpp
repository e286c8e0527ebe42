#include "qcqa/search/plan_choice.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

std::string percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g %%", 100 * fraction);
  return text;
}

}  // namespace

Plan plan_for_fraction(const SearchResult& search, int model_kv_heads, double max_fraction, const PlanLimits& limits) {
  if (!(max_fraction > 0 && max_fraction <= 1)) {
    throw Error(ErrorKind::invalid_argument, "--kv", "must be a fraction in (0, 1]", std::to_string(max_fraction));
  }
  // A fraction such as 1/3 typed with few digits should not lose the point it means.
  const double limit = max_fraction * model_kv_heads + 1e-6 * model_kv_heads;
  const ModelPoint* best = nullptr;
  const ModelPoint* smallest = nullptr;
  const auto consider = [&](const ModelPoint& point) {
    if (!smallest || point.kv_heads < smallest->kv_heads) smallest = &point;
    if (point.kv_heads <= limit && (!best || point.cost < best->cost)) best = &point;
  };
  if (!limits.is_uniform()) std::ranges::for_each(search.front, consider);
  std::ranges::for_each(search.uniform, consider);
  if (!best) {
    const std::string found =
        smallest ? "the smallest is " + percent(static_cast<double>(smallest->kv_heads) / model_kv_heads)
                 : std::string("no plan of that kind in the report");
    throw Error(
        ErrorKind::invalid_argument, "--kv " + percent(max_fraction),
        limits.is_uniform() ? "no plan with equal groups and one group count is that small" : "no plan is that small",
        found, "Ask for more, or search with a smaller --min-groups.");
  }
  return Plan::of(best->layers, best->cost, "best plan with at most " + percent(max_fraction) + " of the KV cache");
}

Plan plan_for_point(const SearchResult& search, int index) {
  if (index < 0 || static_cast<std::size_t>(index) >= search.front.size()) {
    throw Error(ErrorKind::invalid_argument, "--point",
                "must be a point of the report's front, 0 to " + std::to_string(search.front.size() - 1),
                std::to_string(index), "See `qcqa report FILE`.");
  }
  const ModelPoint& point = search.front[static_cast<std::size_t>(index)];
  return Plan::of(point.layers, point.cost, "point " + std::to_string(index) + " of the search's front");
}

Plan plan_for_groups(const SearchResult& search, int groups, Cardinality cardinality) {
  std::vector<Grouping> groupings;
  double cost = 0;
  std::string origin = std::to_string(groups) + " groups per layer, " + std::string(cardinality_name(cardinality));
  for (const LayerFront& layer : search.layers) {
    const LayerGrouping* entry = layer.find(cardinality, groups);
    if (!entry) {
      const bool divides = groups >= 1 && groups <= layer.heads && layer.heads % groups == 0;
      throw Error(ErrorKind::invalid_argument, "--groups " + std::to_string(groups),
                  "layer " + std::to_string(layer.layer) + " with " + std::to_string(layer.heads) +
                      " KV heads has no such grouping",
                  std::string(cardinality_name(cardinality)) + " groups",
                  divides || cardinality == Cardinality::arbitrary
                      ? "Use 1 to " + std::to_string(layer.heads) + " groups."
                      : "Use a divisor of the head count, or --cardinality arbitrary.");
    }
    groupings.push_back(entry->grouping);
    cost += entry->cost;
  }
  return Plan::of(groupings, cost, std::move(origin));
}

}  // namespace qcqa
