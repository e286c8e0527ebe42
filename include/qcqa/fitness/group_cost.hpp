#pragma once

#include <cstdint>
#include <span>

#include "qcqa/plan/grouping.hpp"
#include "qcqa/support/limits.hpp"

namespace qcqa {

class PairwiseCost;

/// A cost split into what keys and what values contribute.
struct CostParts {
  double k = 0;
  double v = 0;
  [[nodiscard]] double total() const noexcept { return k + v; }
};

/// What a layer loses when a set of its KV heads shares one key and one value head. The only thing a search knows
/// of a model. The cost of a grouping is the sum over its groups. Implementations are immutable and thread-safe.
class GroupCost {
 public:
  virtual ~GroupCost() = default;

  /// Number of KV heads n of the layer, 1 <= n <= kMaxKvHeads.
  [[nodiscard]] virtual int heads() const noexcept = 0;

  /// Cost of one group, >= 0; exactly 0 for a single head.
  /// @param members  distinct heads in ascending order, not empty
  [[nodiscard]] virtual double cost(std::span<const std::uint8_t> members) const noexcept = 0;

  /// The same, split; parts().total() agrees with cost() to rounding.
  [[nodiscard]] virtual CostParts parts(std::span<const std::uint8_t> members) const noexcept = 0;

  /// What steers a search in place of this cost: equal to it on every pair of heads. The cost itself where it is
  /// pairwise; nullptr where groups are few enough to be priced one by one.
  [[nodiscard]] virtual const PairwiseCost* pairwise() const noexcept { return nullptr; }
};

/// Sum over groups. O(sum of squared group sizes) for pairwise costs.
[[nodiscard]] double grouping_cost(const GroupCost& cost, const Grouping& grouping);
[[nodiscard]] CostParts grouping_cost_parts(const GroupCost& cost, const Grouping& grouping);

}  // namespace qcqa
