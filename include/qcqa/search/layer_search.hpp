#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "qcqa/fitness/group_cost.hpp"
#include "qcqa/plan/grouping.hpp"
#include "qcqa/search/nsga2.hpp"
#include "qcqa/support/progress.hpp"

namespace qcqa {

/// A cost within this share of its lower bound counts as proven.
inline constexpr double kProvenGap = 1e-8;

/// How far the best there is can lie below a cost, as a share of it; 0 where proven.
[[nodiscard]] inline double bound_gap(double cost, double lower_bound) noexcept {
  const double room = cost - lower_bound;
  return room <= kProvenGap * cost ? 0 : room / cost;
}

/// One grouping of one layer and what it costs.
struct LayerGrouping {
  Grouping grouping;
  Cardinality cardinality{};  ///< the class it was searched in (a contiguous optimum may stand in the equal class)
  double cost = 0;            ///< of the GroupCost
  CostParts parts;
  std::string source;      ///< what found it: "nsga2", "local", "matching", "exact", "kdgqa", or "gqa" (contiguous),
                           ///< "mqa" (one group), "mha" (unchanged) in any class where nothing better is known
  double lower_bound = 0;  ///< no grouping of this class and group count costs less; 0 says nothing
  bool proven = false;     ///< the best there is: bound_gap() is 0
};

/// The best found groupings of one layer: at most one per (cardinality class, group count). A class is never worse than
/// a narrower one at the same group count.
struct LayerFront {
  int layer = 0;
  int heads = 0;
  double one_group_cost = 0;             ///< of MQA, the unit of normalised costs
  std::vector<LayerGrouping> groupings;  ///< sorted by cardinality class, then falling group count
  std::int64_t evaluations = 0;          ///< groupings whose cost was computed, moves tried included

  /// What KDGQA makes of every group count that divides the heads, for comparison; empty when key norms are unknown.
  std::vector<LayerGrouping> kdgqa{};

  /// The entry, or nullptr.
  [[nodiscard]] const LayerGrouping* find(Cardinality cardinality, int groups) const noexcept;
};

struct LayerSearchOptions {
  Nsga2Options nsga2;
  int min_groups = 1;      ///< smallest group count searched, >= 1; a layer with fewer heads keeps them all
  int max_groups = 0;      ///< largest, >= min_groups; 0 = the number of heads. Baselines are always there
  std::uint64_t seed = 0;  ///< of the whole search; each layer and class derives its own stream
};

}  // namespace qcqa
