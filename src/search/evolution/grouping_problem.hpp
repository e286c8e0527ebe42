#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "qcqa/fitness/group_cost.hpp"
#include "qcqa/plan/grouping.hpp"
#include "qcqa/search/nsga2.hpp"
#include "search/local/partition.hpp"
#include "search/rng.hpp"

namespace qcqa {

/// Stage 1 of QCQA (arXiv 2406.10247, section 3.3) for one layer as a problem for NSGA-II: groupings of the layer's
/// heads, minimising (number of groups, cost), with groups of any size (AC) or of equal size (EC).
///
/// Genome. Both classes use canonical labels, one per head. For EC that is the paper's order of heads plus a divisor,
/// up to the reorderings that leave the partition as it is, so that equal groupings are equal genomes.
///
/// Crossover, after Falkenauer's grouping genetic algorithm ("A new representation and operators for genetic algorithms
/// applied to grouping problems", Evolutionary Computation 2(2), 1994). What makes a grouping good is which heads are
/// together, not what the group is called, so label-wise crossover would tear groups apart and pass nothing on. Here
/// the child inherits some whole groups of one parent; of the other parent's groups it keeps what remains, those least
/// torn first; heads of the groups dropped go, one by one, where they cost least.
///
/// Mutation. One or more moves: a head to another group, or two heads exchanged; AC also merges two groups or splits
/// one, EC cuts the heads into another number of groups. Some moves are drawn blindly; the others draw the head or
/// group and take the best of its moves, at the price of a few group costs. Only the guided ones find the last per cent
/// in reasonable time, only the blind ones go where a step up is needed first.
class GroupingProblem {
 public:
  using Genome = Labels;

  /// The best grouping seen with one number of groups.
  struct Best {
    double cost = std::numeric_limits<double>::infinity();
    Labels genome;  ///< genome.groups == 0 while there is none
  };

  /// @param cost         not owned
  /// @param cardinality  arbitrary or equal
  /// @param min_groups, max_groups  1 <= min <= max <= heads
  GroupingProblem(const GroupCost& cost, Cardinality cardinality, int min_groups, int max_groups);

  /// The group counts a grouping may have, rising; may be empty for equal groups.
  [[nodiscard]] const std::vector<int>& group_counts() const noexcept { return counts_; }
  [[nodiscard]] std::vector<Labels> seeds() const { return {}; }

  /// A genome as bytes, and back; nothing unless the bytes are canonical labels of a grouping of this problem.
  [[nodiscard]] std::vector<std::uint8_t> encode(const Labels& labels) const;
  [[nodiscard]] std::optional<Labels> decode(std::span<const std::uint8_t> bytes) const;

  void random(Rng& rng, Labels& out);
  void crossover(Rng& rng, const Labels& a, const Labels& b, Labels& child);
  void mutate(Rng& rng, Labels& labels);
  [[nodiscard]] std::uint64_t hash(const Labels& labels) const noexcept;
  /// Also offers the grouping to the archive.
  Objectives evaluate(const Labels& labels);

  /// Indexed by group count; kept over the whole run, so that what was once found is never lost. Of equal costs the
  /// lexicographically smaller labels stay.
  [[nodiscard]] const std::vector<Best>& archive() const noexcept { return archive_; }
  /// Groupings whose cost was computed, moves tried included.
  [[nodiscard]] std::int64_t evaluations() const noexcept { return evaluations_; }
  void set_evaluations(std::int64_t evaluations) noexcept { evaluations_ = evaluations; }

 private:
  [[nodiscard]] int capacity(int groups) const noexcept;
  int random_count(Rng& rng) { return counts_[static_cast<std::size_t>(rng.below(static_cast<int>(counts_.size())))]; }
  void place_loose(int groups);
  void repair(Rng& rng);

  void move_head(Rng& rng, bool guided);
  void exchange_heads(Rng& rng, bool guided);
  void merge_groups(Rng& rng, bool guided);
  void split_group(Rng& rng, bool guided);
  void recut(Rng& rng);
  int random_head_in_larger_group(Rng& rng);

  Cardinality cardinality_;
  int heads_, min_groups_, max_groups_;
  std::vector<int> counts_;
  std::vector<Best> archive_;
  std::int64_t evaluations_ = 0;

  Partition partition_;  // the grouping being made
  // Scratch of crossover: heads still without a group, and the pieces of the second parent.
  std::vector<int> loose_, order_, piece_size_, whole_size_;
};

}  // namespace qcqa
