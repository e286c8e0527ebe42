#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "pipeline/run_state.hpp"
#include "qcqa/fitness/group_cost.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/pipeline/session.hpp"
#include "qcqa/pipeline/settings.hpp"
#include "qcqa/statistics/input_statistics.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// The costs of a model's layers.
struct LayerCosts {
  FitnessKind fitness{};
  bool calibrated = false;
  std::vector<std::unique_ptr<GroupCost>> costs;
  double seconds = 0;  ///< that it took
  /// Of FitnessKind::measured, between layers: what groupings cost in the model converted by a plan. Nothing without a
  /// calibration, as in a dry run.
  std::function<GroupingCosts(const Plan&)> measured_in{};

  [[nodiscard]] std::vector<const GroupCost*> pointers() const;
};

/// The model, the calibration and its statistics must outlive the result. @param merge  how the run will merge. What
/// the costs are made from is kept in the run's state, where there is one. @throws Error(interrupted)
[[nodiscard]] LayerCosts compute_costs(const Model& model, FitnessKind fitness, const TokenSequences& calibration,
                                       InputStatistics& statistics, const MergeOptions& merge, const Session& session,
                                       RunState* state);

/// Bytes of the converted model in which layers are measured.
[[nodiscard]] std::uint64_t measuring_disk_bytes(const Model& model, const MergeOptions& merge);

/// Statistics of the calibration, kept in the run's state where there is one.
[[nodiscard]] InputStatistics calibration_statistics(const Model& model, const TokenSequences& calibration,
                                                     const ForwardOptions& forward, std::uint64_t memory,
                                                     const Session& session, RunState* state);

}  // namespace qcqa
