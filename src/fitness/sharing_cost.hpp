#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "fitness/head_blocks.hpp"
#include "qcqa/fitness/merge_method.hpp"
#include "qcqa/fitness/pairwise_cost.hpp"
#include "qcqa/fitness/sharing_costs.hpp"

namespace qcqa {

/// What an aligned or subspace merge of a group loses, as sharing_cost(): computed from inner products that are taken
/// once, so that a search never touches the weights again. In layers of few heads every group is priced at once; in
/// others pairs() are, which steer the search, and larger groups when somebody asks.
class SharingCost final : public GroupCost {
 public:
  /// Whether layers of so many heads have every group in their table; other tables have the pairs.
  [[nodiscard]] static bool has_all_groups(int heads) noexcept;
  [[nodiscard]] static std::size_t table_size(int heads) noexcept;

  /// @param blocks  with `heads` alone where the table is known and has all groups
  /// @param scale   factor on all costs, > 0: brings layers to one unit
  /// @param known   table() of this layer, when it was computed before
  SharingCost(HeadBlocks blocks, MergeKind kind, double scale, std::optional<CostTable> known = std::nullopt);

  [[nodiscard]] const CostTable& table() const noexcept { return table_; }

  [[nodiscard]] int heads() const noexcept override { return blocks_.heads; }
  [[nodiscard]] double cost(std::span<const std::uint8_t> members) const noexcept override {
    return parts(members).total();
  }
  [[nodiscard]] CostParts parts(std::span<const std::uint8_t> members) const noexcept override;
  [[nodiscard]] const PairwiseCost* pairwise() const noexcept override { return pairs_ ? &*pairs_ : nullptr; }

 private:
  [[nodiscard]] CostParts price(std::span<const std::uint8_t> members) const;
  [[nodiscard]] CostTable price_all() const;

  HeadBlocks blocks_;
  MergeKind kind_;
  double scale_;
  CostTable table_;  ///< by set of members, bit i for head i; or of the pairs (0, 1), (0, 2), (1, 2), (0, 3) ...
  std::optional<PairwiseCost> pairs_;
};

}  // namespace qcqa
