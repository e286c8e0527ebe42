#pragma once

#include <vector>

#include "forward/layer_weights.hpp"
#include "model/attention_weights.hpp"

namespace qcqa {

/// Everything of the layer outside the projections and the output matrix that reconstruction changes: MLP, the output's
/// bias and all norms but the attention's, under the names and in the types of the checkpoint.
[[nodiscard]] std::vector<TensorBytes> surrounding_tensors(const Model& model, int layer, const LayerWeights& weights);

}  // namespace qcqa
