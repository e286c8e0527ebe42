#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "search/local/cluster_state.hpp"
#include "search/rng.hpp"

namespace qcqa {

/// Multi-start local search for groupings under pairwise costs (minimum-sum-of-squares clustering), for every group
/// count at once.
///
/// Neighbourhood: one head to another group, or two heads exchanged (equal groups: exchanged only), first improvement.
/// This is the move of Hartigan ("Clustering algorithms", 1975, chapter 4) and the exchange of Spaeth ("Cluster
/// analysis algorithms", 1980). Starts come from the neighbours: the best grouping into P groups, with two groups
/// merged or one head split off, starts the search at P - 1 or P + 1, so an improvement anywhere spreads to all group
/// counts. Between sweeps every grouping is kicked (some random moves) and searched again, as in iterated local search
/// (Lourenco, Martin, Stuetzle, "Iterated local search", 2003).
class LocalSearch {
 public:
  struct Best {
    double cost = std::numeric_limits<double>::infinity();
    std::vector<int> labels;  ///< empty while there is none
  };

  /// @param distances  row-major heads x heads; not owned
  LocalSearch(int heads, std::span<const double> distances, const Rng& rng);

  /// Groups of any size, for every group count in [min_groups, max_groups]: one more round (the first one builds from
  /// all heads downwards). Returns whether anything improved.
  bool arbitrary_round(int min_groups, int max_groups);
  /// Groups of equal size: `restarts` more local searches for this divisor of heads. Returns whether it improved.
  bool equal_round(int groups, int restarts);

  /// The same for groups of any size: `kicks` more of the best grouping known with so many groups.
  bool intensify(int groups, int kicks);

  /// Lets a known grouping compete (and seed). Labels as ClusterState::load wants them.
  void offer_arbitrary(std::span<const int> labels, int groups);
  void offer_equal(std::span<const int> labels, int groups);

  /// Indexed by group count.
  [[nodiscard]] const std::vector<Best>& arbitrary() const noexcept { return arbitrary_; }
  [[nodiscard]] const std::vector<Best>& equal() const noexcept { return equal_; }
  /// Groupings whose cost was computed, moves tried included.
  [[nodiscard]] std::int64_t evaluations() const noexcept { return evaluations_; }
  [[nodiscard]] const Rng& rng() const noexcept { return rng_; }

 private:
  bool keep(Best& best);
  void descend(bool moves);
  bool improve_by_move(int h);
  bool improve_by_swap(int h);
  void merge_best();
  void split_best();
  void kick(int strength, bool moves);

  int heads_;
  double smallest_gain_ = 0;  // changes below are rounding
  ClusterState state_;
  Rng rng_;
  std::vector<int> order_;
  std::vector<Best> arbitrary_, equal_;
  std::int64_t evaluations_ = 0;
};

}  // namespace qcqa
