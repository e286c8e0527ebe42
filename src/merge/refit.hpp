#pragma once

#include "merge/reconstruction.hpp"

namespace qcqa {

/// Least squares in closed form for a linear map of a layer, on the converted model's stream: every token counts by
/// LayerTask::importance and by its error relative to the original's stream. Ridge towards the weights there are, of
/// the strength that does best on the held-back batches; weights that nothing does better than stay.
///
/// The output projection: from the merged heads' outputs to the original's stream after its attention. Leaves `weights`
/// alone where the family normalises the attention's output (then it is no linear function of the projection).
void refit_output(const LayerRunner& runner, const LayerTask& task, LayerWeights& weights);

/// The MLP's last projection: to the original's stream after the layer. Leaves `weights` alone where the family
/// normalises the MLP's output.
void refit_mlp(const LayerRunner& runner, const LayerTask& task, LayerWeights& weights);

}  // namespace qcqa
