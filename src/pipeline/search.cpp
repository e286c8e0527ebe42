#include "qcqa/pipeline/search.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/calibration.hpp"
#include "pipeline/search_step.hpp"
#include "qcqa/fitness/distance_file.hpp"
#include "qcqa/search/plan_choice.hpp"
#include "qcqa/support/error.hpp"
#include "search/search_options.hpp"
#include "support/stopwatch.hpp"

namespace qcqa {
namespace {

constexpr const char* kSearchStep = "search";           // where it stands
constexpr const char* kSearchedStep = "search-report";  // what it came to

/// The plan that layers are measured in: what the costs alone choose of about that size.
Plan plan_to_measure_in(const LayerCosts& costs, const SearchOptions& options, int model_kv_heads, double kv,
                        const ProgressFn& progress) {
  const SearchResult found = ModelSearch(costs.pointers(), options).run(progress);
  if (found.stop == StopReason::interrupted) throw Error(ErrorKind::interrupted, "search", "interrupted");
  std::int64_t smallest = model_kv_heads;
  for (const auto* points : {&found.front, &found.uniform}) {
    for (const ModelPoint& point : *points) smallest = std::min<std::int64_t>(smallest, point.kv_heads);
  }
  return plan_for_fraction(found, model_kv_heads,
                           std::max(kv, static_cast<double>(smallest) / static_cast<double>(model_kv_heads)),
                           options.limits);
}

/// The search itself; fills in Report::search and the time it took.
Report search_costs(const std::vector<const GroupCost*>& costs, const SearchOptions& options, const Session& session,
                    RunState* state, const GroupingCosts& measure = {}) {
  const Stopwatch watch;
  ModelSearch search(costs, options);
  if (state != nullptr) {
    if (const auto kept = state->find(kSearchStep)) search.restore(*kept);
  }
  // A layer that was measured took long: it is kept at once.
  const GroupingCosts keeping = [&](int layer, std::span<const Grouping> groupings) {
    if (layer > 0 && state != nullptr) state->keep(kSearchStep, search.save());
    return measure(layer, groupings);
  };
  Report report;
  report.search = search.run(session.progress, measure ? keeping : measure);
  if (report.search.stop == StopReason::interrupted) {
    if (state != nullptr) state->keep(kSearchStep, search.save());
    throw Error(ErrorKind::interrupted, "search", "interrupted");
  }
  report.timings["search"] = watch.seconds();
  return report;
}

std::unique_ptr<RunState> open_state(const Session& session, nlohmann::json identity) {
  if (session.state.empty()) return nullptr;
  auto state = std::make_unique<RunState>(session.state, std::move(identity), session.resume);
  say_if_nothing_is_there(*state, session);
  return state;
}

}  // namespace

void say_if_nothing_is_there(const RunState& state, const Session& session) {
  if (session.resume != Resume::go_on || state.is_resumed()) return;
  session.decide(state.folder().string() + " is not there: nothing was finished, so this run begins at its beginning");
}

void keep_search(const Report& report, RunState* state) {
  if (state == nullptr) return;
  state->keep(kSearchedStep, to_json(report));
  state->forget(kSearchStep);
}

void restrict_to(const Model& model, Target target, SearchOptions& options) {
  const PlanLimits limits = limits_for(model, target);
  if (limits.contiguous) options.equal = options.arbitrary = false;
  if (options.limits.is_uniform()) return;
  const int tensor_parallel = options.limits.tensor_parallel;
  options.limits = limits;
  options.limits.tensor_parallel = tensor_parallel;
  if (options.limits.equal_groups && !options.limits.is_uniform()) options.arbitrary = false;
}

void require_search(const Model& model, const SearchOptions& options, std::optional<double> kv) {
  const std::vector<int> heads = model.kv_heads();
  require_valid(options, heads);
  const int devices = options.limits.tensor_parallel;
  for (const AttentionLayer& layer : model.layers()) {
    if (layer.query_heads % devices == 0) continue;
    throw Error(ErrorKind::invalid_argument, "--tensor-parallel " + std::to_string(devices),
                "must divide the number of query heads", std::to_string(layer.query_heads));
  }
  if (kv) require_reachable(*kv, options, heads);
}

std::optional<Report> kept_search(const RunState& state) {
  const auto kept = state.find(kSearchedStep);
  if (!kept) return std::nullopt;
  return report_from_json(*kept, (state.folder() / (std::string(kSearchedStep) + ".json")).string());
}

Report search_model(const Model& model, const LayerCosts& costs, const SearchOptions& options, double kv,
                    const Device& device, const Session& session, RunState* state) {
  GroupingCosts measure;
  if (costs.measured_in) {
    measure = costs.measured_in(plan_to_measure_in(costs, options, model.total_kv_heads(), kv, session.progress));
  }
  Report report = search_costs(costs.pointers(), options, session, state, measure);
  report.model = describe(model);
  report.options = options_json(options, device);
  report.fitness_name = fitness_name(costs.fitness);
  report.fitness_unit = fitness_unit(costs.fitness, costs.calibrated);
  report.timings["fitness_tables"] = costs.seconds;
  derive_comparisons(report);
  keep_search(report, state);
  return report;
}

Report search(const Model& model, const SearchSettings& settings, const Session& session) {
  require_use_of(settings.calibration, std::nullopt, settings.fitness);
  SearchOptions options = settings.search;
  if (settings.target) restrict_to(model, *settings.target, options);
  require_search(model, options);
  nlohmann::json identity = identity_of(settings);
  add_inputs(identity, model, settings.calibration);
  const std::unique_ptr<RunState> kept = open_state(session, std::move(identity));
  RunState* const state = kept.get();
  const auto work = [&]() -> Report {
    if (state != nullptr) {
      if (auto report = kept_search(*state)) return *std::move(report);
    }
    const TokenSequences calibration =
        collect_calibration(model, settings.calibration, options.layer.seed, settings.forward, session, state);
    InputStatistics statistics =
        calibration_statistics(model, calibration, settings.forward, MergeOptions{}.memory, session, state);
    const LayerCosts costs = compute_costs(
        model, settings.fitness, calibration, statistics,
        {.reconstruct = {.scope = widest_scope(model)}, .seed = options.layer.seed, .forward = settings.forward},
        session, state);
    return search_model(model, costs, options, PlanSettings{}.kv, settings.forward.device, session, state);
  };
  return state != nullptr ? preparing(*state, work) : work();
}

Report search_distances(const std::filesystem::path& file, SearchOptions options, const Session& session) {
  const DistanceFile distances = read_distance_file(file);
  const auto layers = static_cast<int>(distances.layers.size());
  for (int& kept : options.keep_layers) {
    const auto at = std::ranges::find(distances.layers, kept);
    if (at == distances.layers.end()) {
      throw Error(ErrorKind::invalid_argument, "--keep-layers", "must be keys of layers in " + file.string(),
                  std::to_string(kept));
    }
    kept = static_cast<int>(at - distances.layers.begin());
  }
  SearchSettings settings;
  settings.search = options;
  nlohmann::json identity = identity_of(settings);
  identity["--distances"] = distances.fingerprint;
  const std::unique_ptr<RunState> kept = open_state(session, std::move(identity));
  RunState* const state = kept.get();
  const auto work = [&]() -> Report {
    if (state != nullptr) {
      if (auto report = kept_search(*state)) return *std::move(report);
    }
    std::vector<const GroupCost*> costs;
    for (const PairwiseCost& cost : distances.costs) costs.push_back(&cost);
    Report report = search_costs(costs, options, session, state);
    for (LayerFront& layer : report.search.layers)
      layer.layer = distances.layers[static_cast<std::size_t>(layer.layer)];
    for (int& layer : options.keep_layers) layer = distances.layers[static_cast<std::size_t>(layer)];
    static constexpr std::int64_t kBytesPerHead = 2 * 2;  // keys and values, two bytes each
    report.model = {.path = file.string(),
                    .fingerprint = distances.fingerprint,
                    .family = std::string(kDistancesFamily),
                    .dtype = "none",
                    .layers = layers,
                    .query_heads = distances.heads,
                    .kv_heads = distances.heads,
                    .head_dim = distances.head_dim,
                    .hidden_size = distances.hidden_size,
                    .kv_bytes_per_token = kBytesPerHead * distances.head_dim * distances.heads * layers};
    report.options = options_json(options, Device{});
    report.fitness_name = "distances";
    report.fitness_unit = "sum over groups of the mean pairwise distances, in the unit of the file";
    derive_comparisons(report);
    keep_search(report, state);
    return report;
  };
  return state != nullptr ? preparing(*state, work) : work();
}

void forget_run(const std::filesystem::path& state) { RunState(state, {}, Resume::start_over); }

}  // namespace qcqa
