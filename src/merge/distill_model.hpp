#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "merge/distill_state.hpp"
#include "merge/distillation.hpp"
#include "qcqa/merge/merge.hpp"
#include "statistics/layer_runner.hpp"

namespace qcqa {

/// The layers of a model, to be fitted together to another's predictions.
struct LayersToDistill {
  const Model& model;
  std::vector<Grouping> groupings;  ///< per layer: KV heads of a group are equal, and stay so
  /// Of the same tokens; both models' output matrices are loaded. One runner for both where nothing but the layers
  /// differs.
  const LayerRunner &own, &original;
  Judgements judgements{};
};

/// Runs the original for its predictions, distill()s, and keeps what came out in `state`.
/// @param options  of them the steps of distillation, the scope, the seed and the memory count
/// @param scratch  for activations beyond the memory
/// @param report   called with the work done so far, in the unit of work.hpp; false asks to stop
/// @throws Error(interrupted) after keeping where it stands
void distill_layers(const LayersToDistill& task, const MergeOptions& options, const std::filesystem::path& scratch,
                    const DistillState& state, const std::function<bool(std::int64_t)>& report);

}  // namespace qcqa
