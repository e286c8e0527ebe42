#include "cli/search_step.hpp"

#include <algorithm>

#include "checkpoint/json_file.hpp"
#include "cli/flags.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/fitness/distance_file.hpp"
#include "qcqa/report/tables.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/version.hpp"
#include "report/text_table.hpp"

namespace qcqa::cli {
namespace {

nlohmann::ordered_json options_json(const SearchOptions& options, const Device& device) {
  const auto nsga2 = [](const Nsga2Options& o) {
    return nlohmann::ordered_json{{"population", o.population},
                                  {"generations", o.generations},
                                  {"crossover_probability", o.crossover_probability},
                                  {"mutation_probability", o.mutation_probability}};
  };
  return {{"seed", options.layer.seed},
          {"strategy", strategy_name(options.strategy)},
          {"warm_start", options.warm_start},
          {"uniform", options.limits.is_uniform()},
          {"divisors", options.limits.divisors},
          {"keep_layers", options.keep_layers},
          {"cardinality", options.arbitrary && options.equal ? "both"
                          : options.arbitrary                ? "arbitrary"
                          : options.equal                    ? "equal"
                                                             : "contiguous"},
          {"min_groups", options.layer.min_groups},
          {"max_groups", options.layer.max_groups},
          {"layer_nsga2", nsga2(options.layer.nsga2)},
          {"stage2", options.stage2 == Stage2::front ? "front" : "binary"},
          {"binary_groups", options.binary_groups},
          {"model_nsga2", nsga2(options.model_nsga2)},
          {"device", device.name()}};
}

void restore(ModelSearch& search, const std::filesystem::path& file) {
  if (!std::filesystem::exists(file)) {
    throw Error(ErrorKind::not_found, file.string(), "--resume needs the state that an interrupted search left", "none",
                "Search again without --resume.");
  }
  search.restore(read_json_file(file, "Search again without --resume."));
}

/// The search itself, with its saved state; fills in Report::search and the time it took.
Report search_costs(const std::vector<const GroupCost*>& costs, const SearchOptions& options, const std::string& where,
                    Console& console, const std::optional<SearchState>& state, const LayerJudge& judge = {}) {
  const double start = console.seconds();
  const ProgressFn progress = console.progress();
  ModelSearch search(costs, options);
  if (state && state->resume) restore(search, state->file);
  Report report;
  report.search = search.run(progress, judge);
  if (report.search.stop == StopReason::interrupted) {
    if (!state) throw Error(ErrorKind::interrupted, where, "interrupted, nothing was written");
    write_file_atomically(state->file, search.save().dump());
    throw Error(ErrorKind::interrupted, state->file.string(), "interrupted, the search so far was saved here", "",
                "Go on with the same command and --resume.");
  }
  report.timings["search"] = console.seconds() - start;
  return report;
}

}  // namespace

Report search_model(const Model& model, const LayerCosts& costs, const SearchOptions& options, const Device& device,
                    Console& console, const std::optional<SearchState>& state) {
  Report report = search_costs(costs.pointers(), options, model.path().string(), console, state, costs.judge);
  report.model = describe(model);
  report.options = options_json(options, device);
  report.fitness_name = fitness_name(costs.fitness);
  report.fitness_unit = fitness_unit(costs.fitness, costs.calibrated);
  report.timings["fitness_tables"] = costs.seconds;
  derive_comparisons(report);
  return report;
}

Report search_distances(const std::filesystem::path& file, SearchOptions options, Console& console,
                        const std::optional<SearchState>& state) {
  const DistanceFile distances = read_distance_file(file);
  const auto layers = static_cast<int>(distances.layers.size());
  console.note("qcqa " + std::string(version()) + " search: " + file.string() + ", distances of " +
               std::to_string(layers) + " layers x " + std::to_string(distances.heads) + " heads");
  for (int& kept : options.keep_layers) {
    const auto at = std::ranges::find(distances.layers, kept);
    if (at == distances.layers.end()) {
      throw Error(ErrorKind::invalid_argument, "--keep-layers", "must be keys of layers in " + file.string(),
                  std::to_string(kept));
    }
    kept = static_cast<int>(at - distances.layers.begin());
  }
  std::vector<const GroupCost*> costs;
  for (const PairwiseCost& cost : distances.costs) costs.push_back(&cost);
  Report report = search_costs(costs, options, file.string(), console, state);
  for (LayerFront& layer : report.search.layers) layer.layer = distances.layers[static_cast<std::size_t>(layer.layer)];
  for (int& kept : options.keep_layers) kept = distances.layers[static_cast<std::size_t>(kept)];
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
  return report;
}

std::string preamble(const Model& model, const char* verb) {
  const AttentionLayer& layer = model.layers().front();
  return "qcqa " + std::string(version()) + " " + verb + ": " + model.path().string() + ", " +
         model.architecture().family + ", " + std::to_string(model.layers().size()) + " layers x " +
         std::to_string(layer.kv_heads) + " KV heads of " + std::to_string(layer.head_dim) + ", " +
         std::string(dtype_name(layer.dtype)) + ", KV cache " +
         human_bytes(static_cast<double>(model.kv_bytes_per_token())) + " per token";
}

std::string search_summary(const Report& report) {
  TextTable table({"KV cache", "per token", "contiguous (GQA)", "equal groups", "any groups"});
  const int heads = report.model.kv_heads * report.model.layers;
  const auto least = [](const std::vector<ModelPoint>& points, int limit) {
    double best = -1;
    for (const ModelPoint& point : points) {
      if (point.kv_heads <= limit && (best < 0 || point.cost < best)) best = point.cost;
    }
    return best < 0 ? std::string("-") : format_number("%.5g", best);
  };
  for (const Baseline& baseline : report.baselines) {
    if (baseline.name == "mha" || baseline.name == "kdgqa") continue;
    const int limit = baseline.groups * report.model.layers;
    table.add({format_number("%.1f %%", 100 * baseline.kv_fraction),
               human_bytes(static_cast<double>(limit * report.model.kv_bytes_per_head())),
               format_number("%.5g", baseline.cost), least(report.search.uniform, limit),
               least(report.search.front, limit)});
  }
  return "Cost (" + report.fitness_name + ") of the best plan found (" + std::to_string(heads) + " KV heads before)\n" +
         table.str();
}

}  // namespace qcqa::cli
