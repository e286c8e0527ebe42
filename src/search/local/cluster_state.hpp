#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "search/index.hpp"

namespace qcqa {

/// A grouping under local search when costs come from pairwise distances, cost(G) = sum of distances inside G / |G|.
/// Keeps the sum of distances from every head to every group, so that the change a move or an exchange makes is known
/// in O(1), and making it takes O(heads).
class ClusterState {
 public:
  /// @param distances  row-major heads x heads, symmetric, diagonal 0; not owned
  ClusterState(int heads, std::span<const double> distances);

  [[nodiscard]] int heads() const noexcept { return heads_; }
  [[nodiscard]] int groups() const noexcept { return groups_; }
  [[nodiscard]] int group_of(int h) const noexcept { return label_[at(h)]; }
  [[nodiscard]] int size(int g) const noexcept { return size_[at(g)]; }
  [[nodiscard]] std::span<const int> labels() const noexcept { return label_; }
  [[nodiscard]] double distance(int a, int b) const noexcept { return distances_[at(a) * at(heads_) + at(b)]; }
  /// Sum of the distances from h to the members of g.
  [[nodiscard]] double reach(int g, int h) const noexcept { return reach_[at(g) * at(heads_) + at(h)]; }
  [[nodiscard]] double cost(int g) const noexcept { return inside_[at(g)] * inverse_[at(size(g))]; }
  [[nodiscard]] double cost() const noexcept;

  /// Sums everything anew, so rounding does not build up over a long search. Labels are 0..groups-1, none unused.
  void load(std::span<const int> labels, int groups);
  void move(int h, int to) noexcept;
  void swap(int a, int b) noexcept;
  /// Moves the heads of `from` to `into`; the last group takes the number of `from`.
  void merge(int into, int from) noexcept;
  /// A new group with the one head h, whose group keeps at least one other.
  void split_off(int h) noexcept;

  /// Change of the total when h moves to group `to` (not its own); h's group may be left empty only by the caller's
  /// will.
  [[nodiscard]] double move_change(int h, int to) const noexcept {
    const int from = group_of(h);
    return (inside_[at(from)] - reach(from, h)) * inverse_[at(size(from) - 1)] - cost(from) +
           (inside_[at(to)] + reach(to, h)) * inverse_[at(size(to) + 1)] - cost(to);
  }
  /// Change of the total when heads of two different groups change places.
  [[nodiscard]] double swap_change(int a, int b) const noexcept {
    const int ga = group_of(a), gb = group_of(b);
    const double d = distance(a, b);
    return (reach(ga, b) - reach(ga, a) - d) * inverse_[at(size(ga))] +
           (reach(gb, a) - reach(gb, b) - d) * inverse_[at(size(gb))];
  }
  [[nodiscard]] double merge_change(int a, int b) const noexcept;

 private:
  void shift_reach(int g, int h, double sign) noexcept;

  int heads_, groups_ = 0;
  std::span<const double> distances_;
  std::vector<double> inverse_;  // 1 / size; 0 for size 0
  std::vector<int> label_, size_;
  std::vector<double> reach_;   // groups x heads
  std::vector<double> inside_;  // sum over pairs of a group
};

}  // namespace qcqa
