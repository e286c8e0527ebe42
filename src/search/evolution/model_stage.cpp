#include "search/evolution/model_stage.hpp"

#include <algorithm>
#include <limits>

#include "qcqa/support/error.hpp"
#include "search/exact/layer_budget.hpp"

namespace qcqa {
namespace {

// Points come by rising KV size; those that cost no less than a smaller one go.
std::vector<ModelPoint> non_dominated_falling(std::vector<ModelPoint> points) {
  double least = std::numeric_limits<double>::infinity();
  std::erase_if(points, [&](const ModelPoint& p) {
    if (p.cost >= least) return true;
    least = p.cost;
    return false;
  });
  std::reverse(points.begin(), points.end());
  return points;
}

bool is_allowed(const SearchOptions& options, const LayerGrouping& entry, int heads) {
  return options.limits.allows(entry.grouping.groups(), heads, entry.grouping.has_equal_groups());
}

void set_bound(ModelPoint& point, double bound) {
  point.lower_bound = std::min(bound, point.cost);
  point.proven = bound_gap(point.cost, point.lower_bound) == 0;
}

}  // namespace

bool is_kept(const SearchOptions& options, int layer) noexcept {
  return std::count(options.keep_layers.begin(), options.keep_layers.end(), layer) > 0;
}

GroupRange group_range(const LayerSearchOptions& options, int heads) noexcept {
  return {.min = std::min(options.min_groups, heads),
          .max = options.max_groups == 0 ? heads : std::min(options.max_groups, heads)};
}

Cardinality chosen_class(const SearchOptions& options) noexcept {
  return options.arbitrary ? Cardinality::arbitrary : options.equal ? Cardinality::equal : Cardinality::contiguous;
}

std::optional<int> binary_group_count(const SearchOptions& options, int heads) noexcept {
  const GroupRange range = group_range(options.layer, heads);
  const bool any_size = chosen_class(options) == Cardinality::arbitrary;
  int groups = options.binary_groups != 0 ? options.binary_groups : std::max(1, heads / 2);
  // Half the heads is meant loosely where it cannot be had exactly; a number asked for is not.
  if (options.binary_groups == 0) {
    while (!any_size && heads % groups != 0) --groups;
  }
  if (groups < range.min || groups > range.max || (!any_size && heads % groups != 0)) return std::nullopt;
  return groups;
}

ModelStage::ModelStage(const std::vector<LayerFront>& layers, const SearchOptions& options)
    : layers_(&layers), options_(&options) {
  const Cardinality chosen = chosen_class(options);
  for (const auto& layer : layers) {
    const GroupRange range = group_range(options.layer, layer.heads);
    std::vector<const LayerGrouping*> choices;
    double least = std::numeric_limits<double>::infinity();
    const auto add = [&](const LayerGrouping* entry) {
      if (entry == nullptr || entry->cost >= least) return;  // more groups that cost no less are no choice
      if (!is_allowed(options, *entry, layer.heads)) return;
      least = entry->cost;
      choices.push_back(entry);
    };
    if (is_kept(options, layer.layer)) {
      // nothing but all its heads
    } else if (options.stage2 == Stage2::binary) {
      if (const auto groups = binary_group_count(options, layer.heads)) add(layer.find(chosen, *groups));
    } else {
      for (int groups = range.min; groups <= range.max; ++groups) {
        const LayerGrouping* best = layer.find(chosen, groups);
        const bool allowed = best == nullptr || is_allowed(options, *best, layer.heads);
        add(allowed ? best : layer.find(Cardinality::equal, groups));
      }
    }
    // Stage2::binary chooses between all heads and one grouping; elsewhere the range holds for all heads as well.
    const bool all_heads = options.stage2 == Stage2::binary || choices.empty() || range.max == layer.heads;
    if (all_heads) add(layer.find(Cardinality::contiguous, layer.heads));
    if (choices.empty()) {
      throw Error(ErrorKind::invalid_argument, "--tensor-parallel " + std::to_string(options.limits.tensor_parallel),
                  "no grouping that was searched suits layer " + std::to_string(layer.layer),
                  std::to_string(layer.heads) + " KV heads",
                  "Search equal groups too, or with a smaller --min-groups.");
    }
    choices_.push_back(std::move(choices));
  }
}

ModelProblem ModelStage::problem() const {
  std::vector<std::vector<LayerOption>> options;
  for (const auto& choices : choices_) {
    auto& layer = options.emplace_back();
    for (const auto* entry : choices) layer.push_back({.groups = entry->grouping.groups(), .cost = entry->cost});
  }
  return ModelProblem(std::move(options));
}

std::vector<ModelPoint> ModelStage::front(const std::vector<ModelProblem::Best>& archive) const {
  std::vector<ModelPoint> points;
  const std::vector<double> bounds = lower_bounds();
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t groups = 0; groups < archive.size(); ++groups) {
    const auto& best = archive[groups];
    if (best.cost >= least) continue;
    least = best.cost;
    ModelPoint point;
    point.kv_heads = static_cast<int>(groups);
    point.cost = best.cost;
    point.cardinality = chosen_class(*options_);
    for (std::size_t l = 0; l < choices_.size(); ++l) point.layers.push_back(choices_[l][best.genome[l]]->grouping);
    set_bound(point, bounds[groups]);
    points.push_back(std::move(point));
  }
  return non_dominated_falling(std::move(points));
}

// By total number of groups: the least sum of the layers' lower bounds with at most so many. A layer that may have
// fewer groups for the same cost is covered by "at most".
std::vector<double> ModelStage::lower_bounds() const {
  std::vector<std::vector<LayerOption>> options;
  for (std::size_t l = 0; l < choices_.size(); ++l) {
    auto& layer = options.emplace_back();
    // All group counts, not only those worth choosing: a dominated grouping need not be the best of its group count.
    for (const auto& entry : (*layers_)[l].groupings) {
      const int groups = entry.grouping.groups();
      const bool possible = entry.cardinality == chosen_class(*options_) &&
                            options_->limits.allows(groups, (*layers_)[l].heads, true) &&
                            groups >= choices_[l].front()->grouping.groups();
      if (possible) layer.insert(layer.begin(), {.groups = groups, .cost = entry.lower_bound});
    }
    // Where the choice is narrower (kept layers, Stage2::binary) it is all there is; so are all heads where not
    // searched.
    if (layer.empty() || is_kept(*options_, (*layers_)[l].layer) || options_->stage2 == Stage2::binary) layer.clear();
    for (const auto* entry : choices_[l]) {
      const int groups = entry->grouping.groups();
      if (layer.empty() || layer.back().groups < groups)
        layer.push_back({.groups = groups, .cost = entry->lower_bound});
    }
  }
  std::vector<double> bounds;
  double least = std::numeric_limits<double>::infinity();
  for (const auto& best : best_by_budget(options)) bounds.push_back(least = std::min(least, best.cost));
  return bounds;
}

std::vector<ModelPoint> ModelStage::uniform() const {
  const Cardinality searched = options_->equal ? Cardinality::equal : Cardinality::contiguous;
  const int heads = layers_->front().heads;
  std::vector<ModelPoint> points;
  double least = std::numeric_limits<double>::infinity();
  for (int groups = 1; groups <= heads; ++groups) {
    ModelPoint point;
    point.cardinality = searched;
    double bound = 0;
    for (const auto& layer : *layers_) {
      const GroupRange range = group_range(options_->layer, layer.heads);
      const LayerGrouping* entry = nullptr;
      if (!is_kept(*options_, layer.layer) && groups >= range.min && groups <= range.max)
        entry = layer.find(searched, groups);
      const bool all_heads = groups == layer.heads && (range.max == groups || is_kept(*options_, layer.layer));
      if (entry == nullptr && all_heads) entry = layer.find(Cardinality::contiguous, groups);
      if (entry == nullptr || !is_allowed(*options_, *entry, layer.heads)) break;
      point.kv_heads += groups;
      point.cost += entry->cost;
      bound += entry->lower_bound;
      point.layers.push_back(entry->grouping);
    }
    if (point.layers.size() != layers_->size()) continue;
    set_bound(point, least = std::min(least, bound));
    points.push_back(std::move(point));
  }
  return non_dominated_falling(std::move(points));
}

}  // namespace qcqa
