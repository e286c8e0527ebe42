#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "qcqa/search/nsga2.hpp"

namespace qcqa {

/// Ranks and crowding distances of a set of points; keeps its memory from call to call.
class ParetoSorter {
 public:
  /// Fills ranks() and crowding().
  void sort(std::span<const Objectives> points);
  /// Fills crowding() for given ranks, each >= 0.
  void crowd(std::span<const Objectives> points, std::span<const int> ranks);

  [[nodiscard]] const std::vector<int>& ranks() const noexcept { return ranks_; }
  [[nodiscard]] const std::vector<double>& crowding() const noexcept { return crowding_; }

  /// The crowded-comparison operator: lower rank first, then the lonelier point.
  /// Deb et al. 2002, section III-B2.
  [[nodiscard]] bool precedes(std::size_t a, std::size_t b) const noexcept {
    return ranks_[a] != ranks_[b] ? ranks_[a] < ranks_[b] : crowding_[a] > crowding_[b];
  }

 private:
  void order_points(std::span<const Objectives> points);
  void crowd_in_order(std::span<const Objectives> points);

  std::vector<std::size_t> order_;  // indices by rising objectives
  std::vector<std::size_t> last_;   // of each front, the point added last
  std::vector<std::size_t> by_front_, start_;
  std::vector<int> ranks_;
  std::vector<double> crowding_;
};

}  // namespace qcqa
