#include "pipeline/layer_costs.hpp"

#include <memory>
#include <optional>
#include <utility>

#include "qcqa/export/export.hpp"
#include "qcqa/fitness/head_gram.hpp"
#include "qcqa/fitness/measured_costs.hpp"
#include "qcqa/fitness/sharing_costs.hpp"
#include "qcqa/support/error.hpp"
#include "support/stopwatch.hpp"

namespace qcqa {
namespace {

std::unique_ptr<GroupCost> weight_sharing_error(const AttentionLayer& layer, const Device& device) {
  auto cost = std::make_unique<PairwiseCost>(wse_cost(compute_head_gram(layer, device)));
  // Mapped pages count as this process's memory until they are let go.
  for (const auto* heads : {&layer.key, &layer.value}) {
    for (const HeadRows& head : *heads) Checkpoint::done_with(head.weight.pages());
  }
  return cost;
}

std::vector<std::unique_ptr<GroupCost>> weight_sharing_errors(const Model& model, const Device& device,
                                                              const ProgressFn& progress) {
  std::vector<std::unique_ptr<GroupCost>> costs;
  for (const AttentionLayer& layer : model.layers()) {
    costs.push_back(weight_sharing_error(layer, device));
    if (progress && !progress({"fitness", layer.layer + 1, static_cast<std::int64_t>(model.layers().size())})) {
      throw Error(ErrorKind::interrupted, model.path().string(), "interrupted before the search began");
    }
  }
  return costs;
}

/// Measures only once it is asked, and keeps nothing when all layers are measured.
GroupingCosts measuring_costs(const Model& model, const TokenSequences& calibration, InputStatistics& statistics,
                              const ForwardOptions& forward, const ProgressFn& progress) {
  const auto costs = std::make_shared<std::optional<MeasuredCosts>>();
  return [=, &model, &calibration, &statistics](int layer, std::span<const Grouping> groupings) {
    if (!*costs) costs->emplace(model, calibration.all(), statistics, forward, progress);
    std::vector<double> result = (*costs)->measure(layer, groupings);
    if (layer + 1 == static_cast<int>(model.layers().size())) costs->reset();
    return result;
  };
}

}  // namespace

std::vector<const GroupCost*> LayerCosts::pointers() const {
  std::vector<const GroupCost*> pointers;
  for (const auto& cost : costs) pointers.push_back(cost.get());
  return pointers;
}

InputStatistics calibration_statistics(const Model& model, const TokenSequences& calibration,
                                       const ForwardOptions& forward, std::uint64_t memory, const Session& session,
                                       RunState* state) {
  if (calibration.empty()) return InputStatistics(model);
  const std::filesystem::path folder = state != nullptr ? state->path("statistics") : std::filesystem::path();
  return {model, calibration.all(), forward, folder, memory, session.progress};
}

LayerCosts compute_costs(const Model& model, FitnessKind fitness, const TokenSequences& calibration,
                         InputStatistics& statistics, const ForwardOptions& forward, const Session& session) {
  require_unconverted(model);
  const Stopwatch watch;
  LayerCosts result;
  result.fitness = fitness;
  if (fitness == FitnessKind::wse) {
    result.costs = weight_sharing_errors(model, forward.device, session.progress);
  } else {
    result.calibrated = !calibration.empty();
    const MergeKind kind = fitness == FitnessKind::aligned ? MergeKind::aligned : MergeKind::subspace;
    result.costs = sharing_costs(model, kind, statistics, session.progress);
  }
  if (fitness == FitnessKind::measured) {
    result.measure = measuring_costs(model, calibration, statistics, forward, session.progress);
  }
  result.seconds = watch.seconds();
  return result;
}

}  // namespace qcqa
