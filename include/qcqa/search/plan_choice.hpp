#pragma once

#include <optional>
#include <span>

#include "qcqa/plan/plan.hpp"
#include "qcqa/plan/plan_limits.hpp"
#include "qcqa/search/model_search.hpp"

namespace qcqa {

/// The point of least cost with at most `max_fraction` of the model's KV heads (all heads are of one size), among the
/// search's uniform plans and, unless `limits` are uniform, its front.
/// @throws Error(invalid_argument) when none is small enough, naming the smallest there is
[[nodiscard]] Plan plan_for_fraction(const SearchResult& search, int model_kv_heads, double max_fraction,
                                     const PlanLimits& limits);

/// The uniform plan that `chosen`, a plan of plan_for_fraction() whose layers differ, has to be better than: the one of
/// most heads within `max_fraction`. Nothing where that is more than 5 % smaller than `chosen`, whose size alone should
/// then be an advantage, and where `chosen` is uniform itself.
[[nodiscard]] std::optional<Plan> uniform_rival(const SearchResult& search, const Plan& chosen, int model_kv_heads,
                                                double max_fraction);

/// Looks before a search whether uniform_rival() can find one for a plan of all the heads that `max_fraction` leaves.
/// @param heads  KV heads of each layer
[[nodiscard]] bool may_have_uniform_rival(std::span<const int> heads, double max_fraction);

/// Looks before a search whether plan_for_fraction() can find anything in it. @param heads  KV heads of each layer
/// @throws as it would
void require_reachable(double max_fraction, const SearchOptions& options, std::span<const int> heads);

/// The front's point `index`. @throws Error(invalid_argument) when out of range
[[nodiscard]] Plan plan_for_point(const SearchResult& search, int index);

/// Looks before a search whether every layer can have `groups` groups of the given class.
/// @param heads  KV heads of each layer
/// @throws Error(invalid_argument) naming the first layer where that is impossible
void require_groups(int groups, Cardinality cardinality, std::span<const int> heads);

/// `groups` groups in every layer, of the given class, from a search that covered it.
/// @throws Error(invalid_argument) as require_groups(), or where the search left them out
[[nodiscard]] Plan plan_for_groups(const SearchResult& search, int groups, Cardinality cardinality);

}  // namespace qcqa
