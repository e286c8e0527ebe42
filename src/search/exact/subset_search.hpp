#pragma once

#include <vector>

#include "qcqa/fitness/group_cost.hpp"

namespace qcqa {

/// Layers of up to this many heads are solved exactly by subset_search().
inline constexpr int kMaxSubsetHeads = 16;

/// The cheapest groupings of one layer for any group cost, exact, by dynamic programming over subsets of heads: the
/// group of a set's first head is any subset with that head, the rest is a smaller problem. O(3^heads).
struct SubsetSearch {
  /// Labels (as ClusterState::load wants them) by group count 1..heads; empty where there is none.
  std::vector<std::vector<int>> arbitrary, equal;
};
/// @param cost  of at most kMaxSubsetHeads heads
[[nodiscard]] SubsetSearch subset_search(const GroupCost& cost, bool arbitrary, bool equal);

}  // namespace qcqa
