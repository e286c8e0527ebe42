#include "search/local/partition.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "search/search_instances.hpp"

namespace qcqa {
namespace {

using Members = std::vector<std::uint8_t>;

/// A partition beside the plain sets that it should hold.
struct RandomPartition {
  RandomPartition(const GroupCost& the_cost, std::uint64_t seed) : cost(the_cost), partition(the_cost), rng(seed, 0) {
    for (int h = 0; h < cost.heads(); ++h) {
      const bool opens = sets.empty() || rng.chance(0.4);
      const int g = opens ? partition.open() : rng.below(partition.groups());
      if (opens) sets.emplace_back();
      partition.insert(g, h);
      sets[at(g)].insert(static_cast<std::uint8_t>(h));
    }
  }

  /// One of the operations that keep every head in a group and no group empty.
  void step() {
    const int h = rng.below(cost.heads());
    const int from = partition.group_of(h);
    const int to = rng.below(partition.groups());
    const auto head = static_cast<std::uint8_t>(h);
    switch (rng.below(4)) {
      case 0:
        if (to == from || sets[at(from)].size() == 1) break;
        partition.move(h, to);
        sets[at(from)].erase(head);
        sets[at(to)].insert(head);
        break;
      case 1: {
        const std::uint8_t other = *sets[at(to)].begin();
        if (to == from) break;
        partition.swap(h, other);
        sets[at(from)].erase(head);
        sets[at(from)].insert(other);
        sets[at(to)].erase(other);
        sets[at(to)].insert(head);
        break;
      }
      case 2:
        if (to == from) break;
        partition.merge(to, from);
        sets[at(to)].insert(sets[at(from)].begin(), sets[at(from)].end());
        sets[at(from)] = sets.back();  // the last group takes the number of the one that closed
        sets.pop_back();
        break;
      default:
        if (sets[at(from)].size() == 1) break;
        partition.erase(h);
        partition.insert(partition.open(), h);
        sets[at(from)].erase(head);
        sets.push_back({head});
    }
  }

  void expect_as_the_sets() {
    ASSERT_EQ(partition.groups(), static_cast<int>(sets.size()));
    for (int g = 0; g < partition.groups(); ++g) {
      const Members members(sets[at(g)].begin(), sets[at(g)].end());
      ASSERT_TRUE(std::ranges::equal(partition.members(g), members));
      ASSERT_EQ(partition.size(g), static_cast<int>(members.size()));
      ASSERT_EQ(partition.cost(g), cost.cost(members));
      for (const auto h : members) ASSERT_EQ(partition.group_of(h), g);
    }
  }

  const GroupCost& cost;
  Partition partition;
  Rng rng;
  std::vector<std::set<std::uint8_t>> sets;
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
    Partition& partition = random.partition;
    for (int g = 0; g < partition.groups(); ++g) {
      for (int h = 0; h < 8; ++h) {
        auto set = random.sets[at(g)];
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
        auto both = random.sets[at(g)];
        both.insert(random.sets[at(other)].begin(), random.sets[at(other)].end());
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
    random.partition.store(labels);
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
