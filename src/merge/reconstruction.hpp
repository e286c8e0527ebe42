#pragma once

#include <functional>

#include "merge/fitting.hpp"
#include "merge/layer_optimizer.hpp"
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
  at::Tensor sinks;                            ///< (tokens): find_sinks()
  at::Tensor importance;                       ///< (tokens): importance_of() them
  std::vector<std::size_t> fitted, held_back;  ///< batches of the streams to fit on, and to judge by
};

/// With the sinks that its targets show, and its batches divided. `original` has to outlive it.
[[nodiscard]] LayerTask layer_task(const LayerRunner& runner, int layer, const LayerWeights& original,
                                   at::Tensor inputs, at::Tensor original_inputs, at::Tensor targets);

/// LayerTask::importance of a batch's tokens.
[[nodiscard]] at::Tensor importance_in(const LayerRunner& runner, const LayerTask& task, const SequenceBatch& batch);

/// Square errors of a layer's output, each as a share of the target's square.
struct OutputError {
  double all = 0;     ///< mean over the tokens
  double sinks = 0;   ///< over the sinks
  double judged = 0;  ///< over the tokens, each as important as it is
};
[[nodiscard]] OutputError output_error(const LayerRunner& runner, const LayerTask& task, const LayerWeights& weights,
                                       std::span<const std::size_t> batches);

/// One step of the optimizer of the layer's weights on these batches. @param factor  of its rates
void take_step(const LayerRunner& runner, const LayerTask& task, const LayerWeights& weights,
               const std::vector<const SequenceBatch*>& batches, double factor, LayerOptimizer& optimizer);

/// Fits the layer's output to the targets. Keeps the weights that did best on the held-back batches.
/// @param biases    whether those of queries, keys and values may change
/// @param progress  called after each step
/// @returns OutputError::judged on the held-back batches
Fit reconstruct_layer(const LayerRunner& runner, const LayerTask& task, const ReconstructOptions& options, bool biases,
                      std::uint64_t seed, LayerWeights& weights, const std::function<void(int)>& progress);

}  // namespace qcqa
