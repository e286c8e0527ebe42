#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace qcqa {

/// Which group sizes a grouping may have.
enum class Cardinality {
  arbitrary,   ///< AC: any sizes
  equal,       ///< EC: all groups of one size, any members
  contiguous,  ///< equal groups of neighbouring heads: what GQA (arXiv 2305.13245) pools
};
[[nodiscard]] std::string_view cardinality_name(Cardinality c) noexcept;

/// A partition of the KV heads 0..n-1 of one layer: labels()[h] is the group of head h.
/// Always canonical: groups are numbered by first appearance, so equal partitions compare equal.
class Grouping {
 public:
  Grouping() = default;

  /// Canonicalises any labelling. @throws Error(invalid_argument) when empty or longer than kMaxKvHeads
  [[nodiscard]] static Grouping from_labels(std::span<const int> labels);
  [[nodiscard]] static Grouping identity(int heads);
  /// `groups` equal groups of neighbours. @throws Error(invalid_argument) unless groups divides heads
  [[nodiscard]] static Grouping contiguous(int heads, int groups);

  [[nodiscard]] int heads() const noexcept { return static_cast<int>(labels_.size()); }
  [[nodiscard]] int groups() const noexcept { return groups_; }
  [[nodiscard]] std::span<const std::uint8_t> labels() const noexcept { return labels_; }

  /// members()[g] are the heads of group g in ascending order.
  [[nodiscard]] std::vector<std::vector<std::uint8_t>> members() const;
  /// Size of each group.
  [[nodiscard]] std::vector<int> sizes() const;
  [[nodiscard]] bool has_equal_groups() const;
  /// The narrowest class: contiguous, else equal, else arbitrary.
  [[nodiscard]] Cardinality cardinality() const;

  friend bool operator==(const Grouping&, const Grouping&) = default;
  friend auto operator<=>(const Grouping&, const Grouping&) = default;

 private:
  std::vector<std::uint8_t> labels_;
  int groups_ = 0;
};

}  // namespace qcqa
