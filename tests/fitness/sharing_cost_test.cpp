#include "fitness/sharing_cost.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numeric>

#include "fitness/group_sharing.hpp"
#include "qcqa/search/model_search.hpp"

namespace qcqa {
namespace {

HeadBlocks random_blocks(std::int64_t heads) {
  const auto random = [](at::IntArrayRef sizes) { return at::randn(sizes, at::kDouble); };
  at::manual_seed(7);
  const AttentionWeights weights{random({heads, 6, 16}), random({heads, 6, 16}), random({heads, 6, 16}),
                                 random({heads, 16, 6})};
  return compute_head_blocks(weights, {.rotary_dim = 4}, {});
}

double price(const HeadBlocks& blocks, std::span<const std::uint8_t> members, MergeKind kind) {
  return sharing_cost(blocks, members, kind).total();
}

TEST(SharingCost, FewHeadsHaveEveryGroupPriced) {
  const HeadBlocks blocks = random_blocks(5);
  for (const MergeKind kind : {MergeKind::aligned, MergeKind::subspace}) {
    const SharingCost cost(blocks, kind, 2);
    EXPECT_EQ(cost.pairwise(), nullptr);
    for (const std::vector<std::uint8_t>& group :
         std::vector<std::vector<std::uint8_t>>{{3}, {0, 4}, {1, 2, 3}, {0, 1, 2, 3, 4}}) {
      EXPECT_NEAR(cost.cost(group), 2 * price(blocks, group, kind), 1e-9 * cost.cost(group));
    }
  }
}

TEST(SharingCost, PairsSteerTheSearchOfManyHeads) {
  const HeadBlocks blocks = random_blocks(10);
  const SharingCost cost(blocks, MergeKind::subspace, 1);
  ASSERT_NE(cost.pairwise(), nullptr);
  for (const std::vector<std::uint8_t>& pair : std::vector<std::vector<std::uint8_t>>{{0, 1}, {3, 7}, {2, 9}}) {
    EXPECT_NEAR(cost.pairwise()->cost(pair), cost.cost(pair), 1e-9 * cost.cost(pair));
  }
  const std::vector<std::uint8_t> four = {0, 2, 5, 9};
  EXPECT_NEAR(cost.cost(four), price(blocks, four, MergeKind::subspace), 1e-9 * cost.cost(four));
  EXPECT_EQ(cost.cost(std::vector<std::uint8_t>{4}), 0);
}

TEST(SharingCost, SearchReportsTheExactCostAndProvesPairsOnly) {
  const HeadBlocks blocks = random_blocks(10);
  const SharingCost cost(blocks, MergeKind::subspace, 1);
  SearchOptions options;
  options.strategy = Strategy::automatic;
  const SearchResult result = ModelSearch({&cost}, options).run();
  const LayerFront& front = result.layers.front();
  for (const LayerGrouping& entry : front.groupings) {
    EXPECT_NEAR(entry.cost, grouping_cost(cost, entry.grouping), 1e-9 * (1 + entry.cost));
  }
  EXPECT_TRUE(front.find(Cardinality::equal, 5)->proven);
  EXPECT_FALSE(front.find(Cardinality::equal, 2)->proven);
  EXPECT_FALSE(front.find(Cardinality::arbitrary, 4)->proven);
  EXPECT_LE(front.find(Cardinality::equal, 5)->cost, front.find(Cardinality::contiguous, 5)->cost);
}

}  // namespace
}  // namespace qcqa
