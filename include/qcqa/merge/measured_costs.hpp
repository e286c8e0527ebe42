#pragma once

#include <vector>

#include "qcqa/forward/forward_options.hpp"
#include "qcqa/merge/calibration.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/search/layer_search.hpp"
#include "qcqa/search/progress.hpp"

namespace qcqa {

/// Replaces the costs of every grouping found by what it does to the model: the rise of the cross-entropy, in nats per
/// predicted token, when that layer alone is merged so (subspace merge). Layers that the model can spare become cheap,
/// so that a layer budget leaves heads where they matter. No rise counts as 0. Keys and values share a cost as they
/// shared the old one. Bounds are lost. Takes a pass over half the model per grouping; memory holds one layer's weights
/// and the activations of one layer's groupings.
/// @param calibration  not empty; about 16384 tokens of it are used
/// @throws Error(invalid_argument, unsupported, interrupted)
void measure_costs(const Model& model, std::vector<LayerFront>& fronts, CalibrationSequences calibration,
                   const ForwardOptions& options, const ProgressFn& progress = {});

}  // namespace qcqa
