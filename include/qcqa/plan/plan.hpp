#pragma once

#include <span>
#include <string>
#include <vector>

#include "qcqa/search/model_search.hpp"

namespace qcqa {

/// What a conversion will do: one grouping per layer, and where it came from.
struct Plan {
  std::vector<Grouping> layers;
  double cost = 0;       ///< in the unit of the fitness that chose it
  std::string origin{};  ///< "report point 12", "3 contiguous groups per layer"

  /// Sum of group counts.
  [[nodiscard]] int kv_heads() const;
  /// Every layer has equal groups and the same group count: what stock GQA runtimes express.
  [[nodiscard]] bool is_uniform() const;
  [[nodiscard]] bool has_one_group_count() const;
  [[nodiscard]] bool is_identity() const;
};

/// Which plans a caller can use.
enum class PlanShape {
  any,
  uniform,  ///< equal groups, one group count for all layers
};

/// The point of least cost with at most `max_fraction` of the model's KV heads (all heads are of one size), among the
/// search's front and its uniform plans.
/// @throws Error(invalid_argument) when none is small enough, naming the smallest there is
[[nodiscard]] Plan plan_for_fraction(const SearchResult& search, int model_kv_heads, double max_fraction,
                                     PlanShape shape);

/// The front's point `index`. @throws Error(invalid_argument) when out of range
[[nodiscard]] Plan plan_for_point(const SearchResult& search, int index);

/// `groups` groups in every layer, of the given class, from a search that covered it.
/// @throws Error(invalid_argument) naming the first layer where that is impossible
[[nodiscard]] Plan plan_for_groups(const SearchResult& search, int groups, Cardinality cardinality);

}  // namespace qcqa
