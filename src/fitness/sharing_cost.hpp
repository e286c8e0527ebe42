#pragma once

#include <optional>
#include <vector>

#include "fitness/head_blocks.hpp"
#include "qcqa/fitness/merge_method.hpp"
#include "qcqa/fitness/pairwise_cost.hpp"

namespace qcqa {

/// What an aligned or subspace merge of a group loses, as sharing_cost(): computed from inner products that are taken
/// once, so that a search never touches the weights again. In layers of few heads every group is priced at once; in
/// others pairs() are, which steer the search, and larger groups when somebody asks.
class SharingCost final : public GroupCost {
 public:
  /// @param scale  factor on all costs, > 0: brings layers to one unit
  SharingCost(HeadBlocks blocks, MergeKind kind, double scale);

  [[nodiscard]] int heads() const noexcept override { return blocks_.heads; }
  [[nodiscard]] double cost(std::span<const std::uint8_t> members) const noexcept override {
    return parts(members).total();
  }
  [[nodiscard]] CostParts parts(std::span<const std::uint8_t> members) const noexcept override;
  [[nodiscard]] const PairwiseCost* pairwise() const noexcept override { return pairs_ ? &*pairs_ : nullptr; }

 private:
  [[nodiscard]] CostParts price(std::span<const std::uint8_t> members) const;
  void price_all();
  void price_pairs();

  HeadBlocks blocks_;
  MergeKind kind_;
  double scale_;
  std::vector<CostParts> prices_;  ///< by set of members, bit i for head i; empty when there are too many
  std::optional<PairwiseCost> pairs_;
};

}  // namespace qcqa
