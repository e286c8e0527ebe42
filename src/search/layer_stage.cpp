#include "search/layer_stage.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <utility>

#include <omp.h>
#include <nlohmann/json.hpp>

#include "qcqa/fitness/pairwise_cost.hpp"
#include "search/evolution/model_stage.hpp"
#include "search/index.hpp"
#include "search/kdgqa.hpp"
#include "search/layer_front_builder.hpp"
#include "search/shared_progress.hpp"
#include "search/solution_state.hpp"

namespace qcqa {
namespace {

std::vector<const GroupCost*> guides_of(const std::vector<const GroupCost*>& costs) {
  std::vector<const GroupCost*> steering;
  for (const GroupCost* cost : costs) steering.push_back(cost->pairwise() != nullptr ? cost->pairwise() : cost);
  return steering;
}

}  // namespace

LayerStage::LayerStage(std::vector<const GroupCost*> costs, const SearchOptions& options)
    : costs_(std::move(costs)),
      guides_(guides_of(costs_)),
      options_(options),
      iterations_(bound_iterations(guides_, options)) {
  for (std::size_t l = 0; l < costs_.size(); ++l) {
    const auto layer = static_cast<int>(l);
    if (!is_kept(options, layer) && options.strategy != Strategy::kdgqa) add_tasks(layer);
  }
}

void LayerStage::add_tasks(int layer) {
  if (options_.strategy != Strategy::nsga2 && is_solvable(*guides_[at(layer)], options_.strategy)) {
    if (!options_.arbitrary && !options_.equal) return;
    auto& task = tasks_.emplace_back();
    task.layer = layer;
    task.stream = 2 * at(layer) + 1;
    return;
  }
  if (options_.arbitrary) add_evolution(layer, Cardinality::arbitrary);
  if (options_.equal) add_evolution(layer, Cardinality::equal);
}

void LayerStage::add_evolution(int layer, Cardinality cardinality) {
  const GroupRange range = group_range(options_.layer, guides_[at(layer)]->heads());
  GroupingProblem problem(*guides_[at(layer)], cardinality, range.min, range.max);
  if (problem.group_counts().empty()) return;  // no divisor in range
  auto& task = tasks_.emplace_back();
  task.layer = layer;
  task.cardinality = cardinality;
  task.stream = 2 * at(layer) + (cardinality == Cardinality::equal ? 2 : 1);
  task.evolution.emplace(std::move(problem), options_.layer.nsga2, Rng(options_.layer.seed, task.stream));
}

bool LayerStage::finished() const {
  return std::all_of(tasks_.begin(), tasks_.end(), [](const Task& task) { return task.finished(); });
}

std::int64_t LayerStage::steps(const Task& task) const {
  return task.evolution ? options_.layer.nsga2.generations : solver_steps(*guides_[at(task.layer)], options_);
}

std::int64_t LayerStage::steps_done(const Task& task) const {
  if (task.evolution) return task.evolution->generation();
  return task.finished() ? steps(task) : 0;
}

bool LayerStage::run(const ProgressFn& progress) {
  if (finished()) return true;
  std::int64_t done = 0, total = 0;
  for (const auto& task : tasks_) {
    done += steps_done(task);
    total += steps(task);
  }
  SharedProgress shared(progress, "layers", done, total);
  const std::function<bool()> step = [&shared] {
    shared.one_done();
    return !shared.stopped();
  };
  const auto run_task = [&](Task& task) {
    const GroupCost& cost = *guides_[at(task.layer)];
    if (!task.evolution) {
      if (task.solution || shared.stopped()) return;
      auto solution = solve_layer(cost, options_, iterations_, task.stream, step);
      if (!shared.stopped() || solution.complete) task.solution = std::move(solution);
      return;
    }
    if (!shared.stopped() && !task.evolution->started()) {
      std::vector<Labels> seeds;
      if (options_.warm_start) {
        for (const auto& seed : local_search_seeds(cost, options_, task.cardinality, task.stream)) {
          seeds.push_back(to_labels(seed));
        }
      }
      task.evolution->start(seeds);
    }
    while (!shared.stopped() && !task.evolution->finished()) {
      task.evolution->step();
      shared.one_done();
    }
  };
  const auto count = static_cast<std::ptrdiff_t>(tasks_.size());
  const int threads = options_.threads > 0 ? options_.threads : omp_get_max_threads();
  std::exception_ptr error;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (std::ptrdiff_t t = 0; t < count; ++t) {
    try {
      run_task(tasks_[static_cast<std::size_t>(t)]);
    } catch (...) {
      shared.stop();
#pragma omp critical(qcqa_layer_stage_error)
      if (!error) error = std::current_exception();
    }
  }
  if (error) std::rethrow_exception(error);
  return !shared.stopped();
}

LayerFront LayerStage::front(int layer) const {
  const GroupCost& cost = *costs_[at(layer)];
  LayerFrontBuilder builder(layer, cost);
  const GroupRange range = group_range(options_.layer, cost.heads());
  for (int groups = range.min; groups <= range.max; ++groups) {
    if (options_.arbitrary) builder.open(Cardinality::arbitrary, groups);
    if (options_.equal && cost.heads() % groups == 0) builder.open(Cardinality::equal, groups);
  }
  std::int64_t evaluations = 0;
  for (const auto& task : tasks_) {
    if (task.layer != layer) continue;
    if (task.solution) {
      for (const auto& found : task.solution->found) builder.offer(found.grouping, found.source);
      for (const auto& bound : task.solution->bounds) {
        // What steers the search equals the cost on pairs only.
        const bool pairs = bound.cardinality == Cardinality::equal && 2 * bound.groups == cost.heads();
        if (pairs || guides_[at(layer)] == &cost) builder.bound(bound.cardinality, bound.groups, bound.lower_bound);
      }
      evaluations += task.solution->evaluations;
    }
    if (!task.evolution) continue;
    evaluations += task.evolution->problem().evaluations();
    for (const auto& best : task.evolution->problem().archive()) {
      if (best.genome.groups > 0) builder.offer(to_grouping(best.genome, cost.heads()), "nsga2");
    }
  }
  const PairwiseCost* pairwise = with_key_norms(cost);
  std::vector<LayerGrouping> compared;
  for (int groups = 1; pairwise != nullptr && groups <= cost.heads(); ++groups) {
    const Grouping grouping = kdgqa_grouping(*pairwise, groups);
    if (options_.strategy == Strategy::kdgqa) builder.offer(grouping, "kdgqa");
    if (cost.heads() % groups == 0) {
      compared.push_back({.grouping = grouping,
                          .cardinality = Cardinality::arbitrary,
                          .cost = grouping_cost(cost, grouping),
                          .parts = grouping_cost_parts(cost, grouping),
                          .source = "kdgqa"});
    }
  }
  LayerFront result = builder.build(evaluations);
  result.kdgqa = std::move(compared);
  return result;
}

std::vector<LayerFront> LayerStage::fronts() const {
  std::vector<LayerFront> result;
  for (std::size_t l = 0; l < costs_.size(); ++l) result.push_back(front(static_cast<int>(l)));
  return result;
}

nlohmann::json LayerStage::save() const {
  nlohmann::json saved = nlohmann::json::array();
  for (const auto& task : tasks_) {
    saved.push_back(task.evolution ? task.evolution->save() : task.solution ? save_solution(*task.solution) : nullptr);
  }
  return saved;
}

void LayerStage::restore(const JsonView& saved) {
  const auto items = saved.items(tasks_.size(), "task");
  for (std::size_t t = 0; t < tasks_.size(); ++t) {
    if (items[t].value().is_null()) continue;  // not begun
    Task& task = tasks_[t];
    if (task.evolution) {
      task.evolution->restore(items[t]);
    } else {
      task.solution = restore_solution(items[t], costs_[at(task.layer)]->heads());
    }
  }
}

}  // namespace qcqa
