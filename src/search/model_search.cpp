#include "qcqa/search/model_search.hpp"

#include <array>
#include <cstring>
#include <numeric>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "qcqa/support/error.hpp"
#include "search/evolution/evolution.hpp"
#include "search/evolution/model_stage.hpp"
#include "search/exact/layer_budget.hpp"
#include "search/layer_stage.hpp"
#include "search/measured_layers.hpp"
#include "search/search_options.hpp"
#include "search/shared_progress.hpp"

namespace qcqa {
namespace {

constexpr const char* kFormat = "qcqa-search-state";
constexpr int kVersion = 4;

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
  LayerStage layer_stage;
  std::optional<MeasuredLayers> measured;  // once stage 1 is complete, where there is a measure
  // Stage 2, after that. `layers` and `stage` follow from the layers' results and what was measured.
  std::vector<LayerFront> layers;
  std::optional<ModelStage> stage;
  std::optional<Evolution<ModelProblem>> model;  // Strategy::nsga2 only

  State(std::vector<const GroupCost*> the_costs, SearchOptions the_options)
      : costs(std::move(the_costs)), options(std::move(the_options)), layer_stage(costs, options) {}
  State(const State&) = delete;  // `stage` points into it
  State& operator=(const State&) = delete;

  void require_same_measure(const GroupingCosts& measure) const {
    const bool begun = measured || stage;
    if (!begun || measured.has_value() == static_cast<bool>(measure)) return;
    throw Error(ErrorKind::invalid_argument, "search state",
                measured ? "the costs between layers were measured, so they must be from here on"
                         : "the costs between layers were not measured, so they must not be from here on",
                {}, "Go on with the same fitness, or start the search anew.");
  }

  /// False when interrupted; what was measured by then is kept.
  bool measure_layers(const GroupingCosts& measure) {
    if (stage || !measure) return true;
    if (!measured) measured.emplace(layer_stage.fronts());
    try {
      while (!measured->finished()) measured->measure_next(measure);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::interrupted) throw;
      return false;
    }
    return true;
  }

  void open_model_stage() {
    if (stage) return;
    layers = measured ? measured->fronts() : layer_stage.fronts();
    stage.emplace(layers, options);
    if (options.strategy == Strategy::nsga2) {
      model.emplace(stage->problem(), options.model_nsga2, Rng(options.layer.seed, 0));
    }
  }

  bool run_model(const ProgressFn& progress) {
    if (!model) return true;
    if (!model->started()) model->start();
    SharedProgress shared(progress, "model", model->generation(), options.model_nsga2.generations);
    while (!model->finished() && !shared.stopped()) {
      model->step();
      shared.one_done();
    }
    return model->finished();
  }

  [[nodiscard]] std::vector<ModelPoint> front() const {
    if (options.limits.is_uniform()) return stage->uniform();
    return stage->front(model ? model->problem().archive() : best_by_budget(stage->problem().options()));
  }
};

ModelSearch::ModelSearch(std::vector<const GroupCost*> costs, SearchOptions options) {
  require_valid(options, costs);
  state_ = std::make_unique<State>(std::move(costs), std::move(options));
}
ModelSearch::ModelSearch(ModelSearch&&) noexcept = default;
ModelSearch& ModelSearch::operator=(ModelSearch&&) noexcept = default;
ModelSearch::~ModelSearch() = default;

SearchResult ModelSearch::run(const ProgressFn& progress, const GroupingCosts& measure) {
  SearchResult result;
  result.stop = StopReason::interrupted;
  state_->require_same_measure(measure);
  if (state_->layer_stage.run(progress) && state_->measure_layers(measure)) {
    state_->open_model_stage();
    if (state_->run_model(progress)) result.stop = StopReason::completed;
    result.layers = state_->layers;
    result.front = state_->front();
    result.uniform = state_->stage->uniform();
    if (state_->model) result.evaluations += state_->model->problem().evaluations();
  } else {
    result.layers = state_->layer_stage.fronts();
  }
  for (const auto& layer : result.layers) result.evaluations += layer.evaluations;
  return result;
}

nlohmann::json ModelSearch::save() const {
  return {{"format", kFormat},
          {"version", kVersion},
          {"options", options_to_json(state_->options)},
          {"costs", fingerprint(state_->costs)},
          {"layers", state_->layer_stage.save()},
          {"measured", state_->measured ? state_->measured->save() : nlohmann::json()},
          {"model", state_->model ? state_->model->save() : nlohmann::json()}};
}

void ModelSearch::restore(const nlohmann::json& saved) {
  const JsonView root(saved, "search state", "Start the search anew.");
  const auto require = [&](const char* key, const nlohmann::json& value, const char* rule) {
    if (root.at(key).value() != value) root.at(key).corrupt(rule);
  };
  require("format", kFormat, "must be that of a search");
  require("version", kVersion, "must be that of this qcqa");
  require("options", options_to_json(state_->options), "must be the options of this search");
  require("costs", fingerprint(state_->costs), "must belong to the model of this search");
  for (const char* stage : {"measured", "model"}) {  // null where the search has not come to it
    if (!saved.contains(stage)) root.corrupt("must have a member \"" + std::string(stage) + '"');
  }

  auto fresh = std::make_unique<State>(state_->costs, state_->options);
  fresh->layer_stage.restore(root.at("layers"));
  if (const auto measured = root.find("measured")) {
    if (!fresh->layer_stage.finished()) measured->corrupt("must be null while layers are unfinished");
    fresh->measured.emplace(fresh->layer_stage.fronts());
    fresh->measured->restore(*measured);
  }
  if (const auto model = root.find("model")) {
    if (!fresh->layer_stage.finished()) model->corrupt("must be null while layers are unfinished");
    if (fresh->measured && !fresh->measured->finished()) model->corrupt("must be null while layers are not measured");
    fresh->open_model_stage();
    if (!fresh->model) model->corrupt("must be null: this strategy has no evolution over layers");
    fresh->model->restore(*model);
  }
  state_ = std::move(fresh);
}

}  // namespace qcqa
