#include "pipeline/layer_costs.hpp"

#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "fitness/sharing_cost.hpp"
#include "pipeline/calibration.hpp"
#include "qcqa/export/export.hpp"
#include "qcqa/fitness/head_gram.hpp"
#include "qcqa/fitness/sharing_costs.hpp"
#include "qcqa/merge/estimate.hpp"
#include "qcqa/merge/measured_costs.hpp"
#include "qcqa/merge/merge.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/layer_runner.hpp"
#include "support/stopwatch.hpp"

namespace qcqa {
namespace {

constexpr const char* kCostsStep = "costs";

std::size_t table_size(FitnessKind fitness, int heads) {
  if (fitness != FitnessKind::wse) return SharingCost::table_size(heads);
  return static_cast<std::size_t>(heads) * static_cast<std::size_t>(heads);
}

/// Empty: there are none.
std::vector<CostTable> kept_tables(const Model& model, FitnessKind fitness, const RunState* state) {
  std::vector<CostTable> tables;
  const auto kept = state != nullptr ? state->find(kCostsStep) : std::nullopt;
  if (!kept) return tables;
  const auto layers = state->view(kCostsStep, *kept).items(model.layers().size(), "layer");
  for (const AttentionLayer& layer : model.layers()) {
    const auto numbers = [&](const char* key) {
      const JsonView list = layers[tables.size()].at(key);
      std::vector<double> result;
      for (const JsonView& number : list.items(table_size(fitness, layer.kv_heads), "group of heads")) {
        result.push_back(number.number(std::numeric_limits<double>::lowest()));
      }
      return result;
    };
    tables.push_back({.k = numbers("k"), .v = numbers("v")});
  }
  return tables;
}

void keep(const std::vector<CostTable>& tables, RunState& state) {
  nlohmann::json layers = nlohmann::json::array();
  for (const CostTable& table : tables) layers.push_back({{"k", table.k}, {"v", table.v}});
  state.keep(kCostsStep, layers);
}

HeadGram head_gram(const AttentionLayer& layer, const Device& device) {
  HeadGram gram = compute_head_gram(layer, device);
  // Mapped pages count as this process's memory until they are let go.
  for (const auto* heads : {&layer.key, &layer.value}) {
    for (const HeadRows& head : *heads) Checkpoint::done_with(head.weight.pages());
  }
  return gram;
}

/// @param tables  as of sharing_costs(): inner products
std::vector<std::unique_ptr<GroupCost>> weight_sharing_errors(const Model& model, const Device& device,
                                                              const ProgressFn& progress,
                                                              std::vector<CostTable>& tables) {
  const bool are_known = !tables.empty();
  std::vector<std::unique_ptr<GroupCost>> costs;
  for (const AttentionLayer& layer : model.layers()) {
    if (!are_known) {
      HeadGram gram = head_gram(layer, device);
      tables.push_back({.k = std::move(gram.k), .v = std::move(gram.v)});
    }
    const CostTable& table = tables[static_cast<std::size_t>(layer.layer)];
    costs.push_back(std::make_unique<PairwiseCost>(wse_cost({layer.kv_heads, table.k, table.v})));
    if (are_known) continue;
    if (progress && !progress({"fitness", layer.layer + 1, static_cast<std::int64_t>(model.layers().size())})) {
      throw Error(ErrorKind::interrupted, model.path().string(), "interrupted before the search began");
    }
  }
  return costs;
}

/// One sequence of the calibration in this many judges layers that are refitted on the others.
constexpr std::size_t kJudgedEvery = 5;

/// How what is around a layer that is measured is merged, in a run that merges so.
MergeOptions merge_around(const MergeOptions& merge) {
  return {.kind = MergeKind::refit,
          .reconstruct = {.scope = merge.reconstruct.scope},
          .seed = merge.seed,
          .memory = merge.memory,
          .forward = merge.forward};
}

/// Merges the plan, and measures, only once it is asked; keeps nothing in memory when all layers are measured.
GroupingCosts measuring_costs(const Model& model, const Plan& plan, const TokenSequences& calibration,
                              const MergeOptions& merge, const ProgressFn& progress,
                              const std::filesystem::path& scratch) {
  struct Measuring {
    TokenSequences fitted, judged;
    std::optional<MeasuredCosts> costs;
  };
  const auto measuring = std::make_shared<Measuring>();
  return [=, &model, &calibration](int layer, std::span<const Grouping> groupings) {
    auto& [fitted, judged, costs] = *measuring;
    if (!costs) {
      fitted = TokenSequences(calibration.ids());
      judged = hold_back(fitted, kJudgedEvery);
      const auto some = evenly_spread(fitted.all(), MeasuredCosts::kFittedTokens);
      const MergeOptions refit = merge_around(merge);
      const ProgressFn refitting = [&](const ProgressEvent& event) {
        return !progress || progress({"refit", event.done, event.total});  // "merge" is that of the plan in the end
      };
      MergeResult merged = merge_model(model, plan, some, refit, scratch, refitting);
      costs.emplace(model, std::move(merged.model), some, judged.all(), refit, progress);
    }
    std::vector<double> result = costs->measure(layer, groupings);
    if (layer + 1 == static_cast<int>(model.layers().size())) *measuring = {};
    return result;
  };
}

}  // namespace

std::vector<const GroupCost*> LayerCosts::pointers() const {
  std::vector<const GroupCost*> pointers;
  for (const auto& cost : costs) pointers.push_back(cost.get());
  return pointers;
}

std::uint64_t measuring_disk_bytes(const Model& model, const MergeOptions& merge) {
  return merge_disk_bytes(model, merge_around(merge), MeasuredCosts::kFittedTokens);
}

InputStatistics calibration_statistics(const Model& model, const TokenSequences& calibration,
                                       const ForwardOptions& forward, std::uint64_t memory, const Session& session,
                                       RunState* state) {
  if (calibration.empty()) return InputStatistics(model);
  const std::filesystem::path folder = state != nullptr ? state->path("statistics") : std::filesystem::path();
  return {model, calibration.all(), forward, folder, memory, session.progress};
}

LayerCosts compute_costs(const Model& model, FitnessKind fitness, const TokenSequences& calibration,
                         InputStatistics& statistics, const MergeOptions& merge, const Session& session,
                         RunState* state) {
  require_unconverted(model);
  const Stopwatch watch;
  LayerCosts result;
  result.fitness = fitness;
  std::vector<CostTable> tables = kept_tables(model, fitness, state);
  const bool are_new = tables.empty();
  if (fitness == FitnessKind::wse) {
    result.costs = weight_sharing_errors(model, merge.forward.device, session.progress, tables);
  } else {
    result.calibrated = !calibration.empty();
    const MergeKind kind = fitness == FitnessKind::aligned ? MergeKind::aligned : MergeKind::subspace;
    result.costs = sharing_costs(model, kind, statistics, session.progress, &tables);
  }
  if (are_new && state != nullptr) keep(tables, *state);
  if (fitness == FitnessKind::measured && !calibration.empty()) {
    if (state == nullptr) {
      throw Error(ErrorKind::invalid_argument, "--fitness measured", "needs a folder for what it keeps", "none",
                  "Give the session a state folder.");
    }
    result.measured_in = [&model, &calibration, merge, progress = session.progress,
                          scratch = state->path("measured-in")](const Plan& plan) {
      return measuring_costs(model, plan, calibration, merge, progress, scratch);
    };
  }
  result.seconds = watch.seconds();
  return result;
}

}  // namespace qcqa
