#include "search/layer_solver.hpp"

#include <algorithm>
#include <limits>

#include "qcqa/fitness/pairwise_cost.hpp"
#include "search/bound/clustering_bound.hpp"
#include "search/evolution/model_stage.hpp"
#include "search/exact/pair_grouping.hpp"
#include "search/exact/subset_search.hpp"
#include "search/index.hpp"
#include "search/local/local_search.hpp"

namespace qcqa {
namespace {

constexpr int kArbitraryRounds = 6;  // at most; a round without improvement is the last
constexpr int kEqualRounds = 40;     // at most, of kRestarts; two without improvement end it
constexpr int kRestarts = 100;
constexpr int kDoubtRounds = 10;     // at most, of kRestarts, where the bound leaves room for a better grouping
constexpr double kDoubt = 5e-4;      // a gap of this share is room
constexpr double kSoughtGap = 4e-4;  // iterations beyond the budget stop here
constexpr int kMostIterations = 400;
constexpr int kExactIterations = 2000;     // Strategy::exact
constexpr double kIterationWork = 3.3e-9;  // seconds per head^3, roughly
constexpr double kAllBounds = 5;           // seconds of one core for all bounds of a model if all use their budget

bool by_subsets(const GroupCost& cost, Strategy strategy) noexcept {
  return cost.heads() <= kMaxSubsetHeads && strategy != Strategy::local;
}

// The group counts strictly between one group and all heads.
std::vector<int> counts(const SearchOptions& options, int heads, Cardinality cardinality) {
  const GroupRange range = group_range(options.layer, heads);
  std::vector<int> result;
  for (int groups = std::max(2, range.min); groups <= std::min(range.max, heads - 1); ++groups) {
    if (cardinality == Cardinality::arbitrary || heads % groups == 0) result.push_back(groups);
  }
  return result;
}

class PairwiseSolver {
 public:
  PairwiseSolver(const PairwiseCost& cost, const SearchOptions& options, int iterations, std::uint64_t stream,
                 const std::function<bool()>& step)
      : cost_(cost),
        options_(options),
        iterations_(iterations),
        step_(step),
        search_(cost.heads(), cost.distances(), Rng(options.layer.seed, stream)) {}

  void search(bool arbitrary, bool equal) {
    const int heads = cost_.heads();
    if (arbitrary) {
      const GroupRange range = group_range(options_.layer, heads);
      for (int round = 0; round < kArbitraryRounds; ++round) {
        if (!search_.arbitrary_round(range.min, range.max) && round > 0) break;
      }
      if (options_.strategy == Strategy::local || options_.strategy == Strategy::nsga2) {
        for (const int groups : counts(options_, heads, Cardinality::arbitrary)) {
          search_.intensify(groups, kRestarts);
          add(search_.arbitrary()[at(groups)].labels, "local");
        }
      }
    }
    if (!equal) return;
    for (const int groups : counts(options_, heads, Cardinality::equal)) {
      if (2 * groups == heads) {
        match_pairs();
        continue;
      }
      for (int round = 0, idle = 0; round < kEqualRounds && idle < 2; ++round) {
        idle = search_.equal_round(groups, kRestarts) ? 0 : idle + 1;
      }
      add(search_.equal()[at(groups)].labels, "local");
    }
  }

  /// Bounds, and more search where they leave room. Returns false when stopped.
  bool bound() {
    ClusteringBound bound(cost_.heads(), cost_.distances());
    for (const auto cardinality : {Cardinality::arbitrary, Cardinality::equal}) {
      const bool any_size = cardinality == Cardinality::arbitrary;
      if (any_size ? !options_.arbitrary : !options_.equal) continue;
      for (const int groups : counts(options_, cost_.heads(), cardinality)) {
        if (any_size) {
          doubt(groups, bound_one(bound, cardinality, groups));
          add(search_.arbitrary()[at(groups)].labels, "local");
        } else if (2 * groups != cost_.heads()) {  // else match_pairs() has done it
          bound_one(bound, cardinality, groups);
        }
        if (!step_()) return false;
      }
    }
    return true;
  }

  LayerSolution take() {
    solution_.evaluations += search_.evaluations();
    return std::move(solution_);
  }

 private:
  void add(const std::vector<int>& labels, std::string_view source) {
    if (!labels.empty()) solution_.found.push_back({Grouping::from_labels(labels), source});
  }

  [[nodiscard]] double best_known(Cardinality cardinality, int groups) const {
    const double equal = search_.equal()[at(groups)].cost;
    return cardinality == Cardinality::equal ? equal : std::min(equal, search_.arbitrary()[at(groups)].cost);
  }

  [[nodiscard]] bool is_exact() const { return options_.strategy == Strategy::exact; }

  double bound_one(ClusteringBound& bound, Cardinality cardinality, int groups) {
    using Sizes = ClusteringBound::Sizes;
    const auto result = bound.solve(cardinality == Cardinality::equal ? Sizes::equal : Sizes::any, groups,
                                    best_known(cardinality, groups),
                                    {.proof = kProvenGap / 2,
                                     .enough = is_exact() ? 0 : kSoughtGap,
                                     .least_iterations = iterations_,
                                     .most_iterations = std::max(iterations_, kMostIterations)});
    solution_.bounds.push_back({cardinality, groups, result.bound});
    return result.bound;
  }

  // A gap may be the bound's fault or the grouping's: tries the latter.
  void doubt(int groups, double bound) {
    const double room = is_exact() ? kProvenGap : kDoubt;
    for (int round = 0; round < kDoubtRounds; ++round) {
      const double cost = best_known(Cardinality::arbitrary, groups);
      if (cost - bound <= room * cost || !search_.intensify(groups, kRestarts)) return;
    }
  }

  void match_pairs() {
    const int groups = cost_.heads() / 2;
    const PairGrouping pairs = best_pairs(cost_.heads(), cost_.distances());
    search_.offer_equal(pairs.labels, groups);
    add(pairs.labels, "matching");
    solution_.bounds.push_back({Cardinality::equal, groups, pairs.lower_bound});
  }

  const PairwiseCost& cost_;
  const SearchOptions& options_;
  int iterations_;
  const std::function<bool()>& step_;
  LocalSearch search_;
  LayerSolution solution_;
};

LayerSolution solve_by_subsets(const GroupCost& cost, const SearchOptions& options) {
  const int heads = cost.heads();
  const SubsetSearch optima = subset_search(cost, options.arbitrary, options.equal);
  LayerSolution solution;
  solution.evaluations = std::int64_t{1} << heads;
  const auto add = [&](Cardinality cardinality, const std::vector<std::vector<int>>& labels) {
    for (const int groups : counts(options, heads, cardinality)) {
      const auto grouping = Grouping::from_labels(labels[at(groups)]);
      // Of sums that differ by their rounding only, any may have been taken for the least.
      constexpr double kRounding = 4 * kMaxSubsetHeads * std::numeric_limits<double>::epsilon();
      solution.bounds.push_back({cardinality, groups, grouping_cost(cost, grouping) * (1 - kRounding)});
      solution.found.push_back({grouping, "exact"});
    }
  };
  if (options.arbitrary) add(Cardinality::arbitrary, optima.arbitrary);
  if (options.equal) add(Cardinality::equal, optima.equal);
  return solution;
}

}  // namespace

bool is_solvable(const GroupCost& cost, Strategy strategy) noexcept {
  return cost.pairwise() != nullptr || by_subsets(cost, strategy);
}

int solver_steps(const GroupCost& cost, const SearchOptions& options) noexcept {
  if (by_subsets(cost, options.strategy) || options.strategy == Strategy::local) return 1;
  std::size_t steps = 1;
  if (options.arbitrary) steps += counts(options, cost.heads(), Cardinality::arbitrary).size();
  if (options.equal) steps += counts(options, cost.heads(), Cardinality::equal).size();
  return static_cast<int>(steps);
}

int bound_iterations(const std::vector<const GroupCost*>& costs, const SearchOptions& options) noexcept {
  if (options.strategy == Strategy::exact) return kExactIterations;
  double work = 0;
  for (const auto* cost : costs) {
    const double heads = cost->heads();
    if (!by_subsets(*cost, options.strategy))
      work += solver_steps(*cost, options) * kIterationWork * heads * heads * heads;
  }
  return static_cast<int>(std::clamp(work > 0 ? kAllBounds / work : 0.0, 1.0, static_cast<double>(kMostIterations)));
}

LayerSolution solve_layer(const GroupCost& cost, const SearchOptions& options, int iterations, std::uint64_t stream,
                          const std::function<bool()>& step) {
  if (by_subsets(cost, options.strategy)) {
    auto solution = solve_by_subsets(cost, options);
    solution.complete = true;
    step();
    return solution;
  }
  PairwiseSolver solver(*cost.pairwise(), options, iterations, stream, step);
  solver.search(options.arbitrary, options.equal);
  const bool bounded = options.strategy != Strategy::local;
  const bool complete = bounded ? step() && solver.bound() : true;
  if (!bounded) step();
  auto solution = solver.take();
  solution.complete = complete;
  return solution;
}

std::vector<Grouping> local_search_seeds(const GroupCost& cost, const SearchOptions& options, Cardinality cardinality,
                                         std::uint64_t stream) {
  if (cost.pairwise() == nullptr) return {};
  const std::function<bool()> step = [] { return true; };
  PairwiseSolver solver(*cost.pairwise(), options, 0, stream, step);
  solver.search(cardinality == Cardinality::arbitrary, cardinality == Cardinality::equal);
  std::vector<Grouping> seeds;
  for (const auto& found : solver.take().found) seeds.push_back(found.grouping);
  return seeds;
}

}  // namespace qcqa
