#include "qcqa/search/plan_choice.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "support/expect_error.hpp"

namespace qcqa {
namespace {

using testing::expect_error;

/// Two layers of four heads; the front's points are cheaper than the uniform ones of the same size.
SearchResult small_search() {
  const Grouping mha = Grouping::identity(4);
  const Grouping three = Grouping::from_labels(std::vector{0, 1, 1, 2});
  const Grouping one = Grouping::contiguous(4, 1);
  const Grouping pairs = Grouping::from_labels(std::vector{0, 1, 0, 1});
  SearchResult search;
  search.front = {{8, 0.0, Cardinality::arbitrary, {mha, mha}},
                  {7, 1.0, Cardinality::arbitrary, {mha, three}},
                  {4, 5.0, Cardinality::arbitrary, {three, one}},
                  {2, 20.0, Cardinality::arbitrary, {one, one}}};
  search.uniform = {{8, 0.0, Cardinality::equal, {mha, mha}}, {4, 7.0, Cardinality::equal, {pairs, pairs}}};
  search.layers.push_back({0, 4, 10.0, {{pairs, Cardinality::equal, 3.0, {1.0, 2.0}, "nsga2"}}, 1});
  search.layers.push_back({1, 4, 10.0, {{pairs, Cardinality::equal, 4.0, {2.0, 2.0}, "nsga2"}}, 1});
  return search;
}

TEST(Plan, FractionTakesTheCheapestThatFits) {
  const SearchResult search = small_search();
  EXPECT_EQ(plan_for_fraction(search, 8, 0.5, PlanLimits{}).cost, 5.0);
  EXPECT_EQ(plan_for_fraction(search, 8, 0.95, PlanLimits{}).cost, 1.0);
  EXPECT_EQ(plan_for_fraction(search, 8, 0.45, PlanLimits{}).cost, 20.0);
}

TEST(Plan, FractionForStockRuntimesLooksAtUniformPlansOnly) {
  const SearchResult search = small_search();
  EXPECT_EQ(plan_for_fraction(search, 8, 0.5, PlanLimits::uniform()).cost, 7.0);
  EXPECT_TRUE(plan_for_fraction(search, 8, 0.95, PlanLimits::uniform()).is_uniform());
}

TEST(Plan, FractionTooSmallNamesTheSmallest) {
  const SearchResult search = small_search();
  expect_error(ErrorKind::invalid_argument, "the smallest is 50 %",
               [&] { (void)plan_for_fraction(search, 8, 0.3, PlanLimits::uniform()); });
  expect_error(ErrorKind::invalid_argument, "the smallest is 25 %",
               [&] { (void)plan_for_fraction(search, 8, 0.1, PlanLimits{}); });
}

TEST(Plan, FractionMustBeAFraction) {
  const SearchResult search = small_search();
  for (const double nonsense : {0.0, -1.0, 1.5, std::nan("")}) {
    expect_error(ErrorKind::invalid_argument, "must be a fraction in (0, 1]",
                 [&] { (void)plan_for_fraction(search, 8, nonsense, PlanLimits{}); });
  }
}

TEST(Plan, TheRivalIsTheLargestUniformPlanWithinTheBudget) {
  const SearchResult search = small_search();
  const Plan chosen = plan_for_fraction(search, 8, 0.5, PlanLimits{});
  const auto rival = uniform_rival(search, chosen, 8, 0.5);
  ASSERT_TRUE(rival.has_value());
  EXPECT_TRUE(rival->is_uniform());
  EXPECT_EQ(rival->kv_heads(), 4);
  EXPECT_EQ(rival->cost, 7.0);
  EXPECT_FALSE(uniform_rival(search, *rival, 8, 0.5).has_value());
}

TEST(Plan, WhetherThereCanBeARivalIsKnownBeforehand) {
  const std::vector<int> three(30, 3), eight(4, 8), mixed = {8, 8, 6, 8};
  EXPECT_FALSE(may_have_uniform_rival(three, 0.67));  // two of three heads are no equal groups
  EXPECT_TRUE(may_have_uniform_rival(three, 1.0 / 3));
  EXPECT_TRUE(may_have_uniform_rival(eight, 0.5));
  EXPECT_FALSE(may_have_uniform_rival(eight, 0.7));   // 16 heads of 22
  EXPECT_FALSE(may_have_uniform_rival(mixed, 0.55));  // 4 groups are not equal ones of 6
  EXPECT_TRUE(may_have_uniform_rival(mixed, 0.27));
}

TEST(Plan, WhatIsMuchSmallerOrTooLargeIsNoRival) {
  SearchResult search = small_search();
  // 7 heads of 8 beside 4: that more heads lose less needs no measuring. All 8 are more than was asked for.
  const Plan chosen = plan_for_fraction(search, 8, 0.95, PlanLimits{});
  ASSERT_EQ(chosen.kv_heads(), 7);
  EXPECT_FALSE(uniform_rival(search, chosen, 8, 0.95).has_value());
  const auto with_heads = [&](int heads) {
    search.uniform.front().kv_heads = heads;
    return uniform_rival(search, Plan::of(std::vector(20, Grouping::from_labels(std::vector{0, 1, 1, 2}))), 80, 0.75);
  };
  ASSERT_FALSE(with_heads(56).has_value());  // of 60
  EXPECT_TRUE(with_heads(57).has_value());
  EXPECT_FALSE(with_heads(61).has_value());
}

TEST(Plan, PointIsAnIndexIntoTheFront) {
  const SearchResult search = small_search();
  EXPECT_EQ(plan_for_point(search, 3).kv_heads(), 2);
  for (const int nonsense : {-1, 4}) {
    expect_error(ErrorKind::invalid_argument, "0 to 3", [&] { (void)plan_for_point(search, nonsense); });
  }
}

TEST(Plan, GroupsSumTheLayers) {
  const Plan plan = plan_for_groups(small_search(), 2, Cardinality::equal);
  EXPECT_EQ(plan.cost, 7.0);
  EXPECT_EQ(plan.kv_heads(), 4);
}

TEST(Plan, MissingGroupingNamesTheLayer) {
  expect_error(ErrorKind::invalid_argument, "layer 0 with 4 KV heads",
               [] { (void)plan_for_groups(small_search(), 3, Cardinality::equal); });
}

}  // namespace
}  // namespace qcqa
