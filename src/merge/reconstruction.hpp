#pragma once

#include <functional>

#include "merge/fitting.hpp"
#include "qcqa/merge/merge.hpp"
#include "statistics/layer_runner.hpp"

namespace qcqa {

/// What one layer is fitted to and where it begins.
struct LayerTask {
  int layer = 0;
  const LayerWeights* original = nullptr;
  at::Tensor inputs;                           ///< (tokens, hidden_size): the converted model's stream before the layer
  at::Tensor original_inputs;                  ///< the original model's
  at::Tensor targets;                          ///< the original model's stream after the layer
  std::vector<std::size_t> fitted, held_back;  ///< batches of the streams to fit on, and to judge by
};

/// Mean over the tokens of some batches of the square error of the layer's output, as a share of the target's square.
[[nodiscard]] double output_error(const LayerRunner& runner, const LayerTask& task, const LayerWeights& weights,
                                  std::span<const std::size_t> batches);

/// Least squares for the output projection: the original's stream after its attention, from the merged heads' outputs
/// on the converted model's stream; ridge towards the weights there are. Leaves `weights` alone where the family
/// normalises the attention's output (then it is no linear function of the projection).
void refit_output(const LayerRunner& runner, const LayerTask& task, LayerWeights& weights);

/// Fits the layer's output to the targets. Keeps the weights that did best on the held-back batches.
/// @param biases    whether those of queries, keys and values may change
/// @param progress  called after each step
/// @returns output_error on the held-back batches
Fit reconstruct_layer(const LayerRunner& runner, const LayerTask& task, const ReconstructOptions& options, bool biases,
                      std::uint64_t seed, LayerWeights& weights, const std::function<void(int)>& progress);

}  // namespace qcqa
