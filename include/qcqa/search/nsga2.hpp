#pragma once

#include <array>
#include <span>
#include <vector>

namespace qcqa {

/// Options of the evolutionary search, NSGA-II.
struct Nsga2Options {
  int population = 128;                ///< individuals per generation, even, >= 4
  int generations = 200;               ///< >= 0; 0 returns the initial population's front
  double crossover_probability = 0.9;  ///< chance that two parents are recombined, [0, 1]
  double mutation_probability = 0.5;   ///< chance that a child is mutated (at least one move), [0, 1]; a child that
                                       ///< would be a copy is mutated in any case
};

/// Both objectives are minimised: [0] KV-cache size, [1] cost.
using Objectives = std::array<double, 2>;

/// a is no worse in both and better in one.
[[nodiscard]] bool dominates(const Objectives& a, const Objectives& b) noexcept;

/// Rank of each point, 0 = non-dominated. Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic
/// algorithm: NSGA-II", IEEE TEC 6(2), 2002, section III-A; two objectives allow O(N log N) by sweeping.
[[nodiscard]] std::vector<int> non_dominated_ranks(std::span<const Objectives> points);

/// Crowding distance of each point within its rank (section III-B of the same paper); infinite at the ends. Of equal
/// points one stands for all and the others get 0: else copies would keep each other alive at the ends.
/// @throws Error(invalid_argument) unless there is one rank >= 0 per point
[[nodiscard]] std::vector<double> crowding_distances(std::span<const Objectives> points, std::span<const int> ranks);

/// Area dominated by `points` and bounded by `reference`; points that do not dominate the reference add nothing.
[[nodiscard]] double hypervolume(std::span<const Objectives> points, const Objectives& reference);

}  // namespace qcqa
