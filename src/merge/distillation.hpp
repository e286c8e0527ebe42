#pragma once

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "merge/fitting.hpp"
#include "merge/layer_chain.hpp"
#include "qcqa/merge/merge.hpp"
#include "statistics/layer_runner.hpp"

namespace qcqa {

/// What the layers are distilled from.
struct DistillationData {
  at::Tensor embedded;                         ///< (tokens, hidden_size): what goes into the first layer with heads
  at::Tensor targets;                          ///< (tokens, hidden_size): the original's stream after its last layer
  const Transformer* original = nullptr;       ///< makes logits of them: its output matrix is loaded
  std::int64_t stride = 1;                     ///< one position in this many is looked at
  std::vector<std::size_t> fitted, held_back;  ///< batches of the streams
  Judgements judgements{};                     ///< by those held back
  Activations activations = Activations::kept;
};

/// Where an interrupted distillation went on from, and goes on to.
struct DistillCheckpoints {
  /// The state of every layer's optimizer, one behind the other, and where the fit stood; nothing: it begins.
  struct Saved {
    FitState fit;
    std::vector<at::Tensor> tensors;
  };
  std::function<std::optional<Saved>(std::span<const at::Tensor> like)> load;
  std::function<void(const FitState&, const std::vector<at::Tensor>&)> save;
};

/// Fits all layers at once to the original's predictions: Adam on the divergence of the next token's distribution, at
/// some of the positions. Reconstruction looks at one layer; this is for what their errors come to together. Keeps the
/// weights that did best on the held-back batches. All layers with their gradients and moments have to be in memory.
/// @param runner  of a model that has everything outside the layers, its output matrix loaded
/// @param biases   per layer, whether the biases of queries, keys and values may change
/// @param checkpoints  some time apart, and where `progress` throws
/// @param progress  called after each step
[[nodiscard]] Distillation distill(const LayerRunner& runner, const DistillationData& task,
                                   const ReconstructOptions& options, const std::vector<bool>& biases,
                                   std::uint64_t seed, std::vector<LayerWeights>& layers,
                                   const DistillCheckpoints& checkpoints, const std::function<void(int)>& progress);

}  // namespace qcqa
