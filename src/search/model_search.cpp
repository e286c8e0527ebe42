#include "qcqa/search/model_search.hpp"

#include <array>
#include <cstring>
#include <numeric>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "qcqa/support/error.hpp"
#include "search/evolution.hpp"
#include "search/judged_layers.hpp"
#include "search/layer_budget.hpp"
#include "search/layer_stage.hpp"
#include "search/model_stage.hpp"
#include "search/reporter.hpp"
#include "search/search_options.hpp"

namespace qcqa {
namespace {

constexpr const char* kFormat = "qcqa-search-state";
constexpr int kVersion = 3;

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
  std::optional<JudgedLayers> judged;  // once stage 1 is complete, where there is a judge
  // Stage 2, after that. `layers` and `stage` follow from the layers' results and what was judged.
  std::vector<LayerFront> layers;
  std::optional<ModelStage> stage;
  std::optional<Evolution<ModelProblem>> model;  // Strategy::nsga2 only

  State(std::vector<const GroupCost*> the_costs, SearchOptions the_options)
      : costs(std::move(the_costs)), options(std::move(the_options)), layer_stage(costs, options) {}
  State(const State&) = delete;  // `stage` points into it
  State& operator=(const State&) = delete;

  void require_same_judge(const LayerJudge& judge) const {
    const bool begun = judged || stage;
    if (!begun || judged.has_value() == static_cast<bool>(judge)) return;
    throw Error(ErrorKind::invalid_argument, "search state",
                judged ? "the costs between layers were judged, so they must be from here on"
                       : "the costs between layers were not judged, so they must not be from here on",
                {}, "Go on with the same fitness, or start the search anew.");
  }

  /// False when interrupted; what was judged by then is kept.
  bool judge_layers(const LayerJudge& judge) {
    if (stage || !judge) return true;
    if (!judged) judged.emplace(layer_stage.fronts());
    try {
      while (!judged->finished()) judged->judge_next(judge);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::interrupted) throw;
      return false;
    }
    return true;
  }

  void open_model_stage() {
    if (stage) return;
    layers = judged ? judged->fronts() : layer_stage.fronts();
    stage.emplace(layers, options);
    if (options.strategy == Strategy::nsga2) {
      model.emplace(stage->problem(), options.model_nsga2, Rng(options.layer.seed, 0));
    }
  }

  bool run_model(const ProgressFn& progress) {
    if (!model) return true;
    if (!model->started()) model->start();
    Reporter reporter(progress, "model", model->generation(), options.model_nsga2.generations);
    while (!model->finished() && !reporter.stopped()) {
      model->step();
      reporter.one_done();
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

SearchResult ModelSearch::run(const ProgressFn& progress, const LayerJudge& judge) {
  SearchResult result;
  result.stop = StopReason::interrupted;
  state_->require_same_judge(judge);
  if (state_->layer_stage.run(progress) && state_->judge_layers(judge)) {
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
          {"judged", state_->judged ? state_->judged->save() : nlohmann::json()},
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

  auto fresh = std::make_unique<State>(state_->costs, state_->options);
  fresh->layer_stage.restore(root.at("layers"));
  if (const auto judged = root.find("judged")) {
    if (!fresh->layer_stage.finished()) judged->corrupt("must be null while layers are unfinished");
    fresh->judged.emplace(fresh->layer_stage.fronts());
    fresh->judged->restore(*judged);
  }
  if (const auto model = root.find("model")) {
    if (!fresh->layer_stage.finished()) model->corrupt("must be null while layers are unfinished");
    if (fresh->judged && !fresh->judged->finished()) model->corrupt("must be null while layers are not judged");
    fresh->open_model_stage();
    if (!fresh->model) model->corrupt("must be null: this strategy has no evolution over layers");
    fresh->model->restore(*model);
  }
  state_ = std::move(fresh);
}

}  // namespace qcqa
