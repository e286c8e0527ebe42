#include "search/layer_front_builder.hpp"

#include <algorithm>
#include <string>

namespace qcqa {

const LayerGrouping* LayerFront::find(Cardinality cardinality, int groups) const noexcept {
  const auto it = std::find_if(groupings.begin(), groupings.end(), [&](const LayerGrouping& entry) {
    return entry.cardinality == cardinality && entry.grouping.groups() == groups;
  });
  return it == groupings.end() ? nullptr : &*it;
}

LayerFrontBuilder::LayerFrontBuilder(int layer, const GroupCost& cost) : layer_(layer), cost_(&cost) {
  for (int groups = 1; groups <= cost.heads(); ++groups) {
    if (cost.heads() % groups == 0) open(Cardinality::contiguous, groups);
  }
}

void LayerFrontBuilder::open(Cardinality cardinality, int groups) {
  places_.try_emplace({cardinality, -groups});
  if (cost_->heads() % groups != 0) return;
  const auto baseline = Grouping::contiguous(cost_->heads(), groups);
  offer(baseline, groups == cost_->heads() ? "mha" : groups == 1 ? "mqa" : "gqa");
}

void LayerFrontBuilder::offer(const Grouping& grouping, std::string_view source) {
  const Candidate candidate{grouping, grouping_cost(*cost_, grouping), source, 0};
  const Cardinality narrowest = grouping.cardinality();
  offer_to(Cardinality::arbitrary, candidate);
  if (narrowest != Cardinality::arbitrary) offer_to(Cardinality::equal, candidate);
  if (narrowest == Cardinality::contiguous) offer_to(Cardinality::contiguous, candidate);
}

void LayerFrontBuilder::offer_to(Cardinality cardinality, const Candidate& candidate) {
  const auto place = places_.find({cardinality, -candidate.grouping.groups()});
  if (place == places_.end()) return;
  Candidate& best = place->second;
  const bool empty = best.grouping.heads() == 0;
  if (empty || candidate.cost < best.cost || (candidate.cost == best.cost && candidate.grouping < best.grouping)) {
    const double lower_bound = best.lower_bound;
    best = candidate;
    best.lower_bound = lower_bound;
  }
}

void LayerFrontBuilder::bound(Cardinality cardinality, int groups, double lower_bound) {
  const auto place = places_.find({cardinality, -groups});
  if (place != places_.end()) place->second.lower_bound = std::max(place->second.lower_bound, lower_bound);
}

LayerFront LayerFrontBuilder::build(std::int64_t evaluations) const {
  LayerFront front;
  front.layer = layer_;
  front.heads = cost_->heads();
  front.one_group_cost = grouping_cost(*cost_, Grouping::contiguous(front.heads, 1));
  front.evaluations = evaluations;
  for (const auto& [place, candidate] : places_) {
    if (candidate.grouping.heads() == 0) continue;
    // Some places hold one grouping only.
    const bool only = place.first == Cardinality::contiguous || place.second == -1 || place.second == -front.heads;
    const double bound = only ? candidate.cost : std::min(candidate.lower_bound, candidate.cost);
    front.groupings.push_back({.grouping = candidate.grouping,
                               .cardinality = place.first,
                               .cost = candidate.cost,
                               .parts = grouping_cost_parts(*cost_, candidate.grouping),
                               .source = std::string(candidate.source),
                               .lower_bound = bound,
                               .proven = bound_gap(candidate.cost, bound) == 0});
  }
  return front;
}

}  // namespace qcqa
