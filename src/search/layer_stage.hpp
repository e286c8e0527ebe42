#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "checkpoint/json_view.hpp"
#include "qcqa/search/model_search.hpp"
#include "search/evolution/evolution.hpp"
#include "search/evolution/grouping_problem.hpp"
#include "search/layer_solver.hpp"

namespace qcqa {

/// Stage 1 of a model: the groupings of every layer, by whatever strategy its cost allows. The unit of saved work is a
/// generation where NSGA-II runs and a whole layer elsewhere.
class LayerStage {
 public:
  LayerStage(std::vector<const GroupCost*> costs, const SearchOptions& options);

  [[nodiscard]] bool finished() const;
  /// Runs to the end or until `progress` returns false; true when finished.
  bool run(const ProgressFn& progress);
  [[nodiscard]] std::vector<LayerFront> fronts() const;

  [[nodiscard]] nlohmann::json save() const;
  /// This must not have been started. @throws Error(corrupt), leaving this in an unspecified state
  /// @param saved  an array of tasks() entries
  void restore(const JsonView& saved);
  [[nodiscard]] std::size_t tasks() const noexcept { return tasks_.size(); }

 private:
  // One layer, in one class where NSGA-II searches it.
  struct Task {
    int layer = 0;
    Cardinality cardinality{};
    std::uint64_t stream = 0;
    std::optional<Evolution<GroupingProblem>> evolution;
    std::optional<LayerSolution> solution;

    [[nodiscard]] bool finished() const { return evolution ? evolution->finished() : solution.has_value(); }
  };

  void add_tasks(int layer);
  void add_evolution(int layer, Cardinality cardinality);
  [[nodiscard]] std::int64_t steps(const Task& task) const;
  [[nodiscard]] std::int64_t steps_done(const Task& task) const;
  [[nodiscard]] LayerFront front(int layer) const;

  std::vector<const GroupCost*> costs_;
  std::vector<const GroupCost*> guides_;  ///< what is searched in their place: GroupCost::pairwise()
  SearchOptions options_;
  int iterations_;
  std::vector<Task> tasks_;
};

}  // namespace qcqa
