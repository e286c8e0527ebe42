#include "qcqa/search/plan_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <numeric>
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

std::string smallest_is(std::int64_t kv_heads, std::int64_t of) {
  return "the smallest is " + percent(static_cast<double>(kv_heads) / static_cast<double>(of));
}

void require_fraction(double max_fraction) {
  if (max_fraction > 0 && max_fraction <= 1) return;
  throw Error(ErrorKind::invalid_argument, "--kv", "must be a fraction in (0, 1]", fmt::format("{}", max_fraction));
}

/// A fraction such as 1/3 typed with few digits should not lose the point it means.
double head_limit(double max_fraction, std::int64_t model_kv_heads) {
  return (max_fraction + 1e-6) * static_cast<double>(model_kv_heads);
}

/// What is smaller than this share of a plan is no rival of it.
constexpr double kLeastOfTheSize = 0.95;

[[noreturn]] void throw_too_small(double max_fraction, const PlanLimits& limits, const std::string& found) {
  throw Error(
      ErrorKind::invalid_argument, "--kv " + percent(max_fraction),
      limits.is_uniform() ? "no plan with equal groups and one group count is that small" : "no plan is that small",
      found, "Ask for more, or search with a smaller --min-groups and fewer --keep-layers.");
}

}  // namespace

void require_reachable(double max_fraction, const SearchOptions& options, std::span<const int> heads) {
  require_fraction(max_fraction);
  std::int64_t total = 0, least = 0;
  for (std::size_t layer = 0; layer < heads.size(); ++layer) {
    const bool is_kept = std::ranges::find(options.keep_layers, static_cast<int>(layer)) != options.keep_layers.end();
    total += heads[layer];
    int groups = is_kept ? heads[layer] : std::clamp(options.layer.min_groups, 1, heads[layer]);
    while (groups < heads[layer] && !options.limits.allows(groups, heads[layer], heads[layer] % groups == 0)) ++groups;
    least += groups;
  }
  if (static_cast<double>(least) <= head_limit(max_fraction, total)) return;
  throw_too_small(max_fraction, options.limits, smallest_is(least, total));
}

Plan plan_for_fraction(const SearchResult& search, int model_kv_heads, double max_fraction, const PlanLimits& limits) {
  require_fraction(max_fraction);
  const double limit = head_limit(max_fraction, model_kv_heads);
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
        smallest ? smallest_is(smallest->kv_heads, model_kv_heads) : "no plan of that kind in the report";
    throw_too_small(max_fraction, limits, found);
  }
  return Plan::of(best->layers, best->cost, "best plan with at most " + percent(max_fraction) + " of the KV cache");
}

std::optional<Plan> uniform_rival(const SearchResult& search, const Plan& chosen, int model_kv_heads,
                                  double max_fraction) {
  if (chosen.is_uniform()) return std::nullopt;
  const double limit = head_limit(max_fraction, model_kv_heads);
  const ModelPoint* rival = nullptr;
  for (const ModelPoint& point : search.uniform) {
    if (point.kv_heads <= limit && (!rival || point.kv_heads > rival->kv_heads)) rival = &point;
  }
  if (!rival || rival->kv_heads < kLeastOfTheSize * chosen.kv_heads()) return std::nullopt;
  return Plan::of(rival->layers, rival->cost,
                  "best uniform plan with at most " + percent(max_fraction) + " of the KV cache");
}

bool may_have_uniform_rival(std::span<const int> heads, double max_fraction) {
  const double limit = std::floor(head_limit(max_fraction, std::accumulate(heads.begin(), heads.end(), 0)));
  const auto layers = static_cast<double>(heads.size());
  for (int groups = 1; groups * layers <= limit; ++groups) {
    const bool is_everywhere = std::ranges::all_of(heads, [&](int own) { return own % groups == 0; });
    if (is_everywhere && groups * layers >= kLeastOfTheSize * limit) return true;
  }
  return false;
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

void require_groups(int groups, Cardinality cardinality, std::span<const int> heads) {
  for (std::size_t layer = 0; layer < heads.size(); ++layer) {
    const int own = heads[layer];
    if (groups < 1 || groups > own) {
      throw Error(ErrorKind::invalid_argument, "--groups",
                  "must be from 1 to the number of KV heads, " + std::to_string(own), std::to_string(groups));
    }
    if (cardinality != Cardinality::arbitrary && own % groups != 0) {
      throw Error(ErrorKind::invalid_argument, "--groups " + std::to_string(groups),
                  "layer " + std::to_string(layer) + " with " + std::to_string(own) + " KV heads has no such grouping",
                  std::string(cardinality_name(cardinality)) + " groups",
                  "Use a divisor of the head count, or --cardinality arbitrary.");
    }
  }
}

Plan plan_for_groups(const SearchResult& search, int groups, Cardinality cardinality) {
  std::vector<int> heads;
  for (const LayerFront& layer : search.layers) heads.push_back(layer.heads);
  require_groups(groups, cardinality, heads);
  std::vector<Grouping> groupings;
  double cost = 0;
  std::string origin = std::to_string(groups) + " groups per layer, " + std::string(cardinality_name(cardinality));
  for (const LayerFront& layer : search.layers) {
    const LayerGrouping* entry = layer.find(cardinality, groups);
    if (!entry) {
      throw Error(ErrorKind::invalid_argument, origin, "must be among the groupings that the search looked at",
                  "layer " + std::to_string(layer.layer));
    }
    groupings.push_back(entry->grouping);
    cost += entry->cost;
  }
  return Plan::of(groupings, cost, std::move(origin));
}

}  // namespace qcqa
