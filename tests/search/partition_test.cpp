#include "search/partition.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "search/search_instances.hpp"

namespace qcqa {
namespace {

using Members = std::vector<std::uint8_t>;

/// A partition beside the plain sets that it should hold.
class RandomPartition {
 public:
  RandomPartition(const GroupCost& cost, std::uint64_t seed) : cost_(cost), partition_(cost), rng_(seed, 0) {
    for (int h = 0; h < cost.heads(); ++h) {
      const bool opens = sets_.empty() || rng_.chance(0.4);
      const int g = opens ? partition_.open() : rng_.below(partition_.groups());
      if (opens) sets_.emplace_back();
      partition_.insert(g, h);
      sets_[at(g)].insert(static_cast<std::uint8_t>(h));
    }
  }

  /// One of the operations that keep every head in a group and no group empty.
  void step() {
    const int h = rng_.below(cost_.heads());
    const int from = partition_.group_of(h);
    const int to = rng_.below(partition_.groups());
    const auto head = static_cast<std::uint8_t>(h);
    switch (rng_.below(4)) {
      case 0:
        if (to == from || sets_[at(from)].size() == 1) break;
        partition_.move(h, to);
        sets_[at(from)].erase(head);
        sets_[at(to)].insert(head);
        break;
      case 1: {
        const std::uint8_t other = *sets_[at(to)].begin();
        if (to == from) break;
        partition_.swap(h, other);
        sets_[at(from)].erase(head);
        sets_[at(from)].insert(other);
        sets_[at(to)].erase(other);
        sets_[at(to)].insert(head);
        break;
      }
      case 2:
        if (to == from) break;
        partition_.merge(to, from);
        sets_[at(to)].insert(sets_[at(from)].begin(), sets_[at(from)].end());
        sets_[at(from)] = sets_.back();  // the last group takes the number of the one that closed
        sets_.pop_back();
        break;
      default:
        if (sets_[at(from)].size() == 1) break;
        partition_.erase(h);
        partition_.insert(partition_.open(), h);
        sets_[at(from)].erase(head);
        sets_.push_back({head});
    }
  }

  void expect_as_the_sets() {
    ASSERT_EQ(partition_.groups(), static_cast<int>(sets_.size()));
    for (int g = 0; g < partition_.groups(); ++g) {
      const Members members(sets_[at(g)].begin(), sets_[at(g)].end());
      ASSERT_TRUE(std::ranges::equal(partition_.members(g), members));
      ASSERT_EQ(partition_.size(g), static_cast<int>(members.size()));
      ASSERT_EQ(partition_.cost(g), cost_.cost(members));
      for (const auto h : members) ASSERT_EQ(partition_.group_of(h), g);
    }
  }

  const GroupCost& cost_;
  Partition partition_;
  Rng rng_;
  std::vector<std::set<std::uint8_t>> sets_;
};

double cost_of(const GroupCost& cost, const std::set<std::uint8_t>& members) {
  return cost.cost(Members(members.begin(), members.end()));
}

TEST(Partition, HoldsTheSetsThatItsOperationsMake) {
  Rng rng(1, 0);
  for (int heads = 1; heads <= 9; ++heads) {
    const auto cost = test::random_cost(rng, heads);
    RandomPartition random(cost, rng.next());
    for (int step = 0; step < 200; ++step) {
      random.step();
      random.expect_as_the_sets();
    }
  }
}

TEST(Partition, TellsWhatAMoveWouldCostToTheLastBit) {
  Rng rng(2, 0);
  const auto cost = test::random_cost(rng, 8);
  RandomPartition random(cost, 3);
  for (int step = 0; step < 200; ++step) {
    random.step();
    Partition& partition = random.partition_;
    for (int g = 0; g < partition.groups(); ++g) {
      for (int h = 0; h < 8; ++h) {
        auto set = random.sets_[at(g)];
        const auto head = static_cast<std::uint8_t>(h);
        if (set.contains(head)) {
          set.erase(head);
          ASSERT_EQ(partition.cost_without(g, h), set.empty() ? 0 : cost_of(cost, set));
          continue;
        }
        const std::uint8_t out = *set.rbegin();
        set.insert(head);
        ASSERT_EQ(partition.cost_with(g, h), cost_of(cost, set));
        set.erase(out);
        ASSERT_EQ(partition.cost_exchanged(g, out, h), cost_of(cost, set));
      }
      for (int other = 0; other < g; ++other) {
        auto both = random.sets_[at(g)];
        both.insert(random.sets_[at(other)].begin(), random.sets_[at(other)].end());
        ASSERT_EQ(partition.cost_merged(g, other), cost_of(cost, both));
      }
    }
    random.expect_as_the_sets();  // asking changed nothing
  }
}

TEST(Partition, StoresLabelsInOrderOfAppearance) {
  Rng rng(4, 0);
  const auto cost = test::random_cost(rng, 4);
  Partition partition(cost);
  const int a = partition.open(), b = partition.open();
  partition.insert(b, 0);
  partition.insert(a, 1);
  partition.insert(b, 2);
  partition.insert(a, 3);
  Labels labels;
  partition.store(labels);
  EXPECT_EQ(to_grouping(labels, 4), Grouping::from_labels(std::vector<int>{0, 1, 0, 1}));
  EXPECT_EQ(labels, to_labels(to_grouping(labels, 4)));
}

TEST(Partition, LoadsWhatItStored) {
  Rng rng(5, 0);
  const auto cost = test::random_cost(rng, 6);
  RandomPartition random(cost, 6);
  for (int step = 0; step < 50; ++step) {
    random.step();
    Labels labels, again;
    random.partition_.store(labels);
    Partition other(cost);
    EXPECT_NEAR(other.cost_of(labels), grouping_cost(cost, to_grouping(labels, 6)), 1e-12);
    other.store(again);
    EXPECT_EQ(again, labels);
  }
}

TEST(Partition, CountsOnlyCostsThatItComputes) {
  Rng rng(7, 0);
  const auto cost = test::random_cost(rng, 4);
  Partition partition(cost);
  partition.load(to_labels(Grouping::from_labels(std::vector<int>{0, 0, 1, 2})));
  (void)partition.cost(0);
  (void)partition.cost(0);
  (void)partition.cost(1);
  EXPECT_EQ(partition.cost_calls(), 1);
}

}  // namespace
}  // namespace qcqa
