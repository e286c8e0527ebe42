#include "qcqa/plan/grouping.hpp"

#include <vector>

#include <gtest/gtest.h>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

TEST(Grouping, NumbersGroupsByFirstAppearance) {
  const auto a = Grouping::from_labels(std::vector<int>{7, -3, 7, 900, -3});
  EXPECT_EQ(std::vector<int>(a.labels().begin(), a.labels().end()), (std::vector<int>{0, 1, 0, 2, 1}));
  EXPECT_EQ(a.groups(), 3);
  EXPECT_EQ(a, Grouping::from_labels(std::vector<int>{1, 0, 1, 2, 0}));
  EXPECT_EQ(a.sizes(), (std::vector<int>{2, 2, 1}));
  EXPECT_EQ(a.members()[1], (std::vector<std::uint8_t>{1, 4}));
}

TEST(Grouping, KnowsItsNarrowestClass) {
  EXPECT_EQ(Grouping::from_labels(std::vector<int>{0, 0, 1, 1}).cardinality(), Cardinality::contiguous);
  EXPECT_EQ(Grouping::from_labels(std::vector<int>{0, 1, 1, 0}).cardinality(), Cardinality::equal);
  EXPECT_EQ(Grouping::from_labels(std::vector<int>{0, 1, 1, 1}).cardinality(), Cardinality::arbitrary);
  EXPECT_EQ(Grouping::identity(4).cardinality(), Cardinality::contiguous);
}

TEST(Grouping, TakesUpTo256Heads) {
  EXPECT_EQ(Grouping::identity(256).groups(), 256);
  EXPECT_EQ(Grouping::contiguous(256, 2).sizes(), (std::vector<int>{128, 128}));
  EXPECT_THROW((void)Grouping::identity(257), Error);
  EXPECT_THROW((void)Grouping::from_labels({}), Error);
}

TEST(Grouping, ContiguousNeedsADivisor) {
  EXPECT_THROW((void)Grouping::contiguous(6, 4), Error);
  EXPECT_THROW((void)Grouping::contiguous(6, 0), Error);
  EXPECT_THROW((void)Grouping::contiguous(-1, 1), Error);
}

}  // namespace
}  // namespace qcqa
