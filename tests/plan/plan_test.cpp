#include "qcqa/plan/plan.hpp"

#include <gtest/gtest.h>

namespace qcqa {
namespace {

Grouping grouping(std::vector<int> labels) { return Grouping::from_labels(labels); }

TEST(Plan, UniformMeansEqualGroupsAndOneCount) {
  EXPECT_TRUE(Plan::of({grouping({0, 1, 0, 1}), grouping({0, 0, 1, 1})}).is_uniform());
  EXPECT_FALSE(Plan::of({grouping({0, 1, 1, 1}), grouping({0, 0, 1, 1})}).is_uniform());
  EXPECT_FALSE(Plan::of({grouping({0, 1, 0, 1}), grouping({0, 0, 0, 0})}).is_uniform());
}

TEST(Plan, IdentityKeepsEveryHead) {
  EXPECT_TRUE(Plan::of({Grouping::identity(4), Grouping::identity(4)}).is_identity());
  EXPECT_FALSE(Plan::of({Grouping::identity(4), grouping({0, 1, 2, 2})}).is_identity());
}

TEST(Plan, EveryLayerReadsItsOwnCache) {
  Plan plan = Plan::of({Grouping::identity(4), Grouping::contiguous(4, 2)}, 3, "somewhere");
  EXPECT_TRUE(plan.has_own_caches());
  EXPECT_EQ(plan.kv_heads(), 6);
  EXPECT_EQ(plan.grouping(1).groups(), 2);
  plan.layers[1].kv_source = 0;
  EXPECT_FALSE(plan.has_own_caches());
}

}  // namespace
}  // namespace qcqa
