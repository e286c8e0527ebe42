#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace qcqa {

/// A loss at the end of layers that follow one another.
struct LayerChain {
  std::function<at::Tensor(std::size_t layer, const at::Tensor& hidden)> run;
  std::function<at::Tensor(const at::Tensor& hidden)> loss;
  std::vector<std::span<const at::Tensor>> weights;  ///< of each layer, leaves that gradients are taken of
};

/// What is kept of a forward pass for the backward one.
enum class Activations {
  kept,        ///< all
  recomputed,  ///< each layer's input; the rest is computed again (Chen et al., arXiv 1604.06174, section 4)
};

/// The gradients of the loss, of the first layer's weights first; undefined where the loss does not depend on a weight.
/// @param input  of the first layer
[[nodiscard]] std::vector<at::Tensor> gradients_of(const LayerChain& chain, const at::Tensor& input,
                                                   Activations activations);

}  // namespace qcqa
