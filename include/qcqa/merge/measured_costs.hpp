#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "qcqa/merge/merge.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/plan/grouping.hpp"
#include "qcqa/support/progress.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// What groupings of a layer leave of a model after the fit: how much farther the predictions of a converted model are
/// from the original's (mean KL divergence, nats per token) with that layer merged and refitted so than with all its
/// heads, every other layer being what it is in the converted model. Layers that the model can spare come out cheap, so
/// that a budget leaves heads where they matter. Takes a pass over all later layers per grouping; memory holds two
/// layers' weights and the activations of one layer's groupings.
class MeasuredCosts {
 public:
  /// Tokens of each text that are looked at.
  static constexpr std::int64_t kFittedTokens = 8192, kJudgedTokens = 2048;

  /// @param model      the original, not owned, as the texts
  /// @param converted  the same merged and refitted: what is around a layer that is measured
  /// @param fitted     what a layer is refitted on. Not empty, as
  /// @param judged     what it is judged by
  /// @param options    of the fit: what it may change, and where it runs
  /// @throws Error(invalid_argument, unsupported, interrupted)
  MeasuredCosts(const Model& model, Model converted, std::span<const TokenSequence> fitted,
                std::span<const TokenSequence> judged, const MergeOptions& options, ProgressFn progress = {});
  MeasuredCosts(MeasuredCosts&&) noexcept;
  MeasuredCosts& operator=(MeasuredCosts&&) noexcept;
  ~MeasuredCosts();

  /// One cost for each of the groupings; no rise counts as 0. Layers cost least time when they come in rising order.
  /// @throws Error(interrupted)
  [[nodiscard]] std::vector<double> measure(int layer, std::span<const Grouping> groupings);

 private:
  class Meter;
  std::unique_ptr<Meter> meter_;
};

}  // namespace qcqa
