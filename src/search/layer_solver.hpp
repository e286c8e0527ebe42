#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "qcqa/search/model_search.hpp"

namespace qcqa {

/// What the strategies other than NSGA-II find out about one layer.
struct LayerSolution {
  struct Found {
    Grouping grouping;
    std::string_view source;  ///< a string literal
  };
  struct Bound {
    Cardinality cardinality{};
    int groups = 0;
    double lower_bound = 0;
  };
  std::vector<Found> found;
  std::vector<Bound> bounds;
  std::int64_t evaluations = 0;
  bool complete = false;  ///< not stopped half-way
};

/// Whether solve_layer() can do anything for this cost: pairwise costs at any size, others where subsets can be listed.
[[nodiscard]] bool is_solvable(const GroupCost& cost, Strategy strategy) noexcept;

/// Steps that solve_layer() reports for this layer.
[[nodiscard]] int solver_steps(const GroupCost& cost, const SearchOptions& options) noexcept;

/// Least iterations per bound, such that all bounds of a model take a few seconds; where the gap is still too large
/// after them, more follow.
[[nodiscard]] int bound_iterations(const std::vector<const GroupCost*>& costs, const SearchOptions& options) noexcept;

/// Up to kMaxSubsetHeads heads: all optima by subset_search(). More, with pairwise costs: LocalSearch for every group
/// count, a perfect matching for pairs, and ClusteringBound for all others (not with Strategy::local).
/// @param step  called after every step; false asks to stop, and then the solution is incomplete
[[nodiscard]] LayerSolution solve_layer(const GroupCost& cost, const SearchOptions& options, int iterations,
                                        std::uint64_t stream, const std::function<bool()>& step);

/// The best groupings of local search alone, as seeds of an evolution in this class.
[[nodiscard]] std::vector<Grouping> local_search_seeds(const GroupCost& cost, const SearchOptions& options,
                                                       Cardinality cardinality, std::uint64_t stream);

}  // namespace qcqa
