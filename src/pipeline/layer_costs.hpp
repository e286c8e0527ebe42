#pragma once

#include <memory>
#include <vector>

#include "qcqa/fitness/group_cost.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/pipeline/session.hpp"
#include "qcqa/pipeline/settings.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// The costs of a model's layers.
struct LayerCosts {
  FitnessKind fitness{};
  bool calibrated = false;
  std::vector<std::unique_ptr<GroupCost>> costs;
  double seconds = 0;  ///< that it took
  LayerJudge judge{};  ///< of FitnessKind::measured

  [[nodiscard]] std::vector<const GroupCost*> pointers() const;
};

/// The model and the calibration must outlive the result. @throws Error(interrupted)
[[nodiscard]] LayerCosts compute_costs(const Model& model, FitnessKind fitness, const TokenSequences& calibration,
                                       const ForwardOptions& forward, const Session& session);

}  // namespace qcqa
