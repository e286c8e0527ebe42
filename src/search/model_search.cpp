#include "qcqa/search/model_search.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <utility>

#include <omp.h>
#include <nlohmann/json.hpp>

#include "qcqa/support/error.hpp"
#include "search/evolution.hpp"
#include "search/grouping_problem.hpp"
#include "search/layer_front_builder.hpp"
#include "search/model_stage.hpp"
#include "search/search_options.hpp"

namespace qcqa {
namespace {

constexpr const char* kFormat = "qcqa-search-state";
constexpr int kVersion = 1;

// Stage 1 of one layer in one class.
struct LayerTask {
  int layer = 0;
  Cardinality cardinality{};
  Evolution<GroupingProblem> evolution;
};

// Reports come from many threads, one at a time; once stopped, stopped.
class Reporter {
 public:
  Reporter(const ProgressFn& progress, std::string_view phase, std::int64_t done, std::int64_t total)
      : progress_(progress), event_{.phase = phase, .done = done, .total = total} {}

  [[nodiscard]] bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }
  void stop() noexcept { stopped_.store(true, std::memory_order_relaxed); }

  void one_done() {
    const std::scoped_lock lock(mutex_);
    ++event_.done;
    if (progress_ && !stopped() && !progress_(event_)) stop();
  }

 private:
  const ProgressFn& progress_;
  std::mutex mutex_;
  ProgressEvent event_;
  std::atomic<bool> stopped_{false};
};

// Changes with any cost: hashes the costs of all pairs and of the whole layer, bit by bit.
std::uint64_t fingerprint(const std::vector<const GroupCost*>& costs) {
  std::uint64_t state = costs.size();
  const auto add = [&](double value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    state ^= bits;
    state = splitmix64(state);
  };
  for (const auto* cost : costs) {
    std::vector<std::uint8_t> all(static_cast<std::size_t>(cost->heads()));
    std::iota(all.begin(), all.end(), std::uint8_t{0});
    add(cost->heads());
    add(cost->cost(all));
    for (std::size_t j = 1; j < all.size(); ++j) {
      for (std::size_t i = 0; i < j; ++i) add(cost->cost(std::array{all[i], all[j]}));
    }
  }
  return state;
}

}  // namespace

struct ModelSearch::State {
  std::vector<const GroupCost*> costs;
  SearchOptions options;
  std::vector<LayerTask> tasks;
  // Stage 2, once stage 1 is complete. `layers` and `stage` follow from the tasks.
  std::vector<LayerFront> layers;
  std::optional<ModelStage> stage;
  std::optional<Evolution<ModelProblem>> model;

  State(std::vector<const GroupCost*> the_costs, const SearchOptions& the_options)
      : costs(std::move(the_costs)), options(the_options) {
    for (std::size_t l = 0; l < costs.size(); ++l) {
      if (options.arbitrary) add_task(l, Cardinality::arbitrary);
      if (options.equal) add_task(l, Cardinality::equal);
    }
  }
  State(const State&) = delete;  // `stage` points into it
  State& operator=(const State&) = delete;

  void add_task(std::size_t layer, Cardinality cardinality) {
    const GroupRange range = group_range(options.layer, costs[layer]->heads());
    GroupingProblem problem(*costs[layer], cardinality, range.min, range.max);
    if (problem.group_counts().empty()) return;  // no divisor in range
    const std::uint64_t stream = 2 * layer + (cardinality == Cardinality::equal ? 2 : 1);
    tasks.push_back({.layer = static_cast<int>(layer),
                     .cardinality = cardinality,
                     .evolution = {std::move(problem), options.layer.nsga2, Rng(options.layer.seed, stream)}});
  }

  [[nodiscard]] bool layers_finished() const {
    return std::all_of(tasks.begin(), tasks.end(), [](const LayerTask& t) { return t.evolution.finished(); });
  }

  /// Returns whether all layers were finished.
  bool run_layers(const ProgressFn& progress) {
    if (layers_finished()) return true;
    std::int64_t done = 0;
    for (const auto& task : tasks) done += task.evolution.generation();
    Reporter reporter(progress, "layers", done,
                      static_cast<std::int64_t>(tasks.size()) * options.layer.nsga2.generations);
    const auto count = static_cast<std::ptrdiff_t>(tasks.size());
    const int threads = options.threads > 0 ? options.threads : omp_get_max_threads();
    std::exception_ptr error;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
    for (std::ptrdiff_t t = 0; t < count; ++t) {
      try {
        auto& evolution = tasks[static_cast<std::size_t>(t)].evolution;
        if (!reporter.stopped() && !evolution.started()) evolution.start();
        while (!reporter.stopped() && !evolution.finished()) {
          evolution.step();
          reporter.one_done();
        }
      } catch (...) {
        reporter.stop();
#pragma omp critical(qcqa_model_search_error)
        if (!error) error = std::current_exception();
      }
    }
    if (error) std::rethrow_exception(error);
    return !reporter.stopped();
  }

  [[nodiscard]] std::vector<LayerFront> layer_fronts() const {
    std::vector<LayerFront> fronts;
    for (std::size_t l = 0; l < costs.size(); ++l) {
      LayerFrontBuilder builder(static_cast<int>(l), *costs[l]);
      std::int64_t evaluations = 0;
      for (const auto& task : tasks) {
        if (task.layer != static_cast<int>(l)) continue;
        for (const int groups : task.evolution.problem().group_counts()) builder.open(task.cardinality, groups);
      }
      for (const auto& task : tasks) {
        if (task.layer != static_cast<int>(l)) continue;
        evaluations += task.evolution.problem().evaluations();
        for (const auto& best : task.evolution.problem().archive()) {
          if (best.genome.groups > 0) builder.offer(to_grouping(best.genome, costs[l]->heads()), "nsga2");
        }
      }
      fronts.push_back(builder.build(evaluations));
    }
    return fronts;
  }

  void open_model_stage() {
    if (model) return;
    layers = layer_fronts();
    stage.emplace(layers, options);
    model.emplace(stage->problem(), options.model_nsga2, Rng(options.layer.seed, 0));
  }

  bool run_model(const ProgressFn& progress) {
    if (!model->started()) model->start();
    Reporter reporter(progress, "model", model->generation(), options.model_nsga2.generations);
    while (!model->finished() && !reporter.stopped()) {
      model->step();
      reporter.one_done();
    }
    return model->finished();
  }
};

ModelSearch::ModelSearch(std::vector<const GroupCost*> costs, SearchOptions options) {
  require_valid(options, costs);
  state_ = std::make_unique<State>(std::move(costs), options);
}
ModelSearch::ModelSearch(ModelSearch&&) noexcept = default;
ModelSearch& ModelSearch::operator=(ModelSearch&&) noexcept = default;
ModelSearch::~ModelSearch() = default;

SearchResult ModelSearch::run(const ProgressFn& progress) {
  SearchResult result;
  result.stop = StopReason::interrupted;
  if (state_->run_layers(progress)) {
    state_->open_model_stage();
    if (state_->run_model(progress)) result.stop = StopReason::completed;
    result.layers = state_->layers;
    result.front = state_->stage->front(state_->model->problem().archive());
    result.uniform = state_->stage->uniform();
    result.evaluations += state_->model->problem().evaluations();
  } else {
    result.layers = state_->layer_fronts();
  }
  for (const auto& layer : result.layers) result.evaluations += layer.evaluations;
  return result;
}

nlohmann::json ModelSearch::save() const {
  nlohmann::json tasks = nlohmann::json::array();
  for (const auto& task : state_->tasks) tasks.push_back(task.evolution.save());
  return {{"format", kFormat},
          {"version", kVersion},
          {"options", options_to_json(state_->options)},
          {"costs", fingerprint(state_->costs)},
          {"layers", std::move(tasks)},
          {"model", state_->model ? state_->model->save() : nlohmann::json()}};
}

void ModelSearch::restore(const nlohmann::json& saved) {
  const StateReader reader(saved, "search state");
  if (reader.field("format") != kFormat) reader.fail("format", std::string("must be \"") + kFormat + '"');
  if (reader.field("version") != kVersion) reader.fail("version", "must be " + std::to_string(kVersion));
  if (reader.field("options") != options_to_json(state_->options)) {
    reader.fail("options", "must be the options of this search");
  }
  if (reader.field("costs") != fingerprint(state_->costs))
    reader.fail("costs", "must belong to the model of this search");

  auto fresh = std::make_unique<State>(state_->costs, state_->options);
  const auto& tasks = reader.array("layers", fresh->tasks.size());
  for (std::size_t t = 0; t < fresh->tasks.size(); ++t) {
    fresh->tasks[t].evolution.restore(tasks[t], "search state.layers[" + std::to_string(t) + "]");
  }
  const auto& model = reader.field("model");
  if (!model.is_null()) {
    if (!fresh->layers_finished()) reader.fail("model", "must be null while layers are unfinished");
    fresh->open_model_stage();
    fresh->model->restore(model, "search state.model");
  }
  state_ = std::move(fresh);
}

}  // namespace qcqa
