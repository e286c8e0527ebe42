#pragma once

#include <span>
#include <vector>

namespace qcqa {

struct PairGrouping {
  std::vector<int> labels;  ///< of each head, 0..heads / 2 - 1
  double lower_bound = 0;   ///< no grouping into pairs costs less; apart from the cost of `labels` by rounding only
};

/// The best grouping into pairs under pairwise costs, half the distance for each pair.
/// @param distances  row-major heads x heads, symmetric, >= 0, diagonal 0; 2 <= heads <= kMaxKvHeads, even
[[nodiscard]] PairGrouping best_pairs(int heads, std::span<const double> distances);

}  // namespace qcqa
