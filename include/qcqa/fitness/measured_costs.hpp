#pragma once

#include <span>
#include <vector>

#include "qcqa/forward/forward_options.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/plan/grouping.hpp"
#include "qcqa/support/progress.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// What a grouping does to the model: the rise of the cross-entropy, in nats per predicted token, when that layer alone
/// is merged so (subspace merge). No rise counts as 0. Takes a pass over half the model per grouping; memory holds one
/// layer's weights and the activations of one layer's groupings.
/// @param groupings    of each layer, any number of them
/// @param calibration  not empty; about 16384 tokens of it are used
/// @returns one cost for each of `groupings`
/// @throws Error(invalid_argument, unsupported, interrupted)
[[nodiscard]] std::vector<std::vector<double>> measure_costs(const Model& model,
                                                             std::span<const std::vector<Grouping>> groupings,
                                                             std::span<const TokenSequence> calibration,
                                                             const ForwardOptions& options,
                                                             const ProgressFn& progress = {});

}  // namespace qcqa
