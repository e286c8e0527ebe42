#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "qcqa/fitness/group_cost.hpp"
#include "qcqa/plan/grouping.hpp"
#include "search/index.hpp"

namespace qcqa {

/// A grouping as evolution keeps it: canonical labels without a heap allocation. Heads beyond the layer's are 0.
struct Labels {
  std::array<std::uint8_t, kMaxKvHeads> of{};
  std::uint16_t groups = 0;

  friend bool operator==(const Labels&, const Labels&) = default;
};

/// A grouping under construction: groups can be opened, filled, emptied and closed, and what a move would cost can be
/// asked without making it. Only the one or two groups a move touches are evaluated. Memory is allocated once.
///
/// Members stay in ascending order, as GroupCost wants them; a group's cost therefore never depends on how the group
/// came about, which keeps results reproducible to the last bit.
class Partition {
 public:
  explicit Partition(const GroupCost& cost);

  [[nodiscard]] int heads() const noexcept { return heads_; }
  [[nodiscard]] int groups() const noexcept { return groups_; }
  [[nodiscard]] int size(int g) const noexcept { return size_[at(g)]; }
  [[nodiscard]] int group_of(int h) const noexcept { return group_of_[at(h)]; }
  [[nodiscard]] std::span<const std::uint8_t> members(int g) const noexcept {
    return {members_.data() + at(g) * at(heads_), at(size(g))};
  }

  void clear() noexcept { groups_ = 0; }
  /// A new empty group; its number.
  int open() noexcept;
  /// Removes an empty group; the last group takes its number.
  void close(int g) noexcept;
  /// Adds a head that is in no group.
  void insert(int g, int h) noexcept;
  void erase(int h) noexcept;
  void move(int h, int to) noexcept;
  void swap(int a, int b) noexcept;
  /// Moves all heads of `from` to `into` and closes `from`.
  void merge(int into, int from) noexcept;

  void load(const Labels& labels) noexcept;
  /// Canonical labels. Every head must be in a group and no group empty.
  void store(Labels& labels) const noexcept;

  /// Cost of group g; 0 when empty.
  [[nodiscard]] double cost(int g) noexcept;
  /// Of g and head h together.
  [[nodiscard]] double cost_with(int g, int h) noexcept;
  /// Of g without its member h.
  [[nodiscard]] double cost_without(int g, int h) noexcept;
  /// Of g with `in` in the place of its member `out`.
  [[nodiscard]] double cost_exchanged(int g, int out, int in) noexcept;
  /// Of groups a and b in one.
  [[nodiscard]] double cost_merged(int a, int b) noexcept;
  /// Of two heads.
  [[nodiscard]] double cost_of_pair(int a, int b) noexcept;
  /// Sum over groups in canonical order of these labels.
  [[nodiscard]] double cost_of(const Labels& labels) noexcept;

  /// How often the cost of a group was computed.
  [[nodiscard]] std::int64_t cost_calls() const noexcept { return cost_calls_; }

 private:
  std::uint8_t* begin(int g) noexcept { return members_.data() + at(g) * at(heads_); }
  double evaluate(std::size_t size) noexcept;  // of the first heads in scratch_

  static constexpr double kUnknown = -1;

  const GroupCost* cost_function_;
  int heads_;
  int groups_ = 0;
  std::vector<std::uint8_t> members_;  // heads x heads, row per group
  std::vector<int> size_, group_of_;
  std::vector<double> cost_;  // kUnknown until asked for
  std::vector<std::uint8_t> scratch_;
  std::int64_t cost_calls_ = 0;
};

/// Conversions to and from the public type.
[[nodiscard]] Labels to_labels(const Grouping& grouping);
[[nodiscard]] Grouping to_grouping(const Labels& labels, int heads);

}  // namespace qcqa
