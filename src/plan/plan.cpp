#include "qcqa/plan/plan.hpp"

#include <algorithm>
#include <utility>

namespace qcqa {

Plan Plan::of(const std::vector<Grouping>& groupings, double cost, std::string origin) {
  Plan plan{.layers = {}, .cost = cost, .origin = std::move(origin)};
  for (const Grouping& grouping : groupings) plan.layers.push_back({grouping, static_cast<int>(plan.layers.size())});
  return plan;
}

int Plan::kv_heads() const {
  int sum = 0;
  for (const LayerPlan& layer : layers) sum += layer.grouping.groups();
  return sum;
}

bool Plan::is_uniform() const {
  return has_one_group_count() && std::ranges::all_of(layers, &Grouping::has_equal_groups, &LayerPlan::grouping);
}

bool Plan::has_one_group_count() const {
  return std::ranges::all_of(
      layers, [this](const LayerPlan& layer) { return layer.grouping.groups() == layers.front().grouping.groups(); });
}

bool Plan::is_identity() const {
  return std::ranges::all_of(layers,
                             [](const LayerPlan& layer) { return layer.grouping.groups() == layer.grouping.heads(); });
}

bool Plan::has_own_caches() const {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].kv_source != static_cast<int>(i)) return false;
  }
  return true;
}

}  // namespace qcqa
