#include "search/exact/pair_grouping.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "search/exact/perfect_matching.hpp"

namespace qcqa {

// In whole numbers the matching is exact; what rounding to them can hide is taken off the bound.
PairGrouping best_pairs(int heads, std::span<const double> distances) {
  constexpr double kUnits = 0x1p50;
  const auto n = static_cast<std::size_t>(heads);
  const double largest = *std::max_element(distances.begin(), distances.end());
  std::vector<std::int64_t> weights(distances.size(), 0);
  if (largest > 0) {
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = std::llround(distances[i] / largest * kUnits);
  }
  const auto mate = minimum_perfect_matching(heads, weights);
  PairGrouping result{std::vector<int>(n), 0};
  std::int64_t sum = 0;  // at most 2^50 * kMaxKvHeads / 2
  int pair = 0;
  for (std::size_t h = 0; h < n; ++h) {
    const auto other = static_cast<std::size_t>(mate[h]);
    if (other < h) continue;
    result.labels[h] = result.labels[other] = pair++;
    sum += weights[h * n + other];
  }
  // A pair is off by at most half a unit from rounding to whole numbers and an eighth from the division before; the
  // other half of `heads` units covers the rounding of what follows.
  result.lower_bound = std::max(0.0, static_cast<double>(sum - heads) / kUnits * largest / 2);
  return result;
}

}  // namespace qcqa
