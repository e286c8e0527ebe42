#pragma once

#include <memory>
#include <span>
#include <vector>

#include "qcqa/forward/forward_options.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/plan/grouping.hpp"
#include "qcqa/statistics/input_statistics.hpp"
#include "qcqa/support/progress.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// What groupings of a layer do to the model: the rise of the cross-entropy, in nats per predicted token, when that
/// layer alone is merged so (subspace merge). No rise counts as 0. Layers that the model can spare come out cheap, so
/// that a layer budget leaves heads where they matter. Takes a pass over all later layers per grouping; memory holds
/// one layer's weights and the activations of one layer's groupings.
class MeasuredCosts {
 public:
  /// @param model        not owned, as the calibration and its statistics
  /// @param calibration  not empty; about 16384 tokens of it are used
  /// @throws Error(invalid_argument, unsupported)
  MeasuredCosts(const Model& model, std::span<const TokenSequence> calibration, InputStatistics& statistics,
                const ForwardOptions& options, ProgressFn progress = {});
  MeasuredCosts(MeasuredCosts&&) noexcept;
  MeasuredCosts& operator=(MeasuredCosts&&) noexcept;
  ~MeasuredCosts();

  /// One cost for each of the groupings. Layers cost least time when they come in rising order.
  /// @throws Error(interrupted)
  [[nodiscard]] std::vector<double> measure(int layer, std::span<const Grouping> groupings);

 private:
  class Meter;
  std::unique_ptr<Meter> meter_;
};

}  // namespace qcqa
