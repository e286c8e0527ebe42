#pragma once

#include <torch/optim/adam.h>

#include <memory>
#include <span>
#include <vector>

#include "forward/layer.hpp"
#include "qcqa/merge/merge.hpp"

namespace qcqa {

/// Adam (Kingma & Ba, arXiv 1412.6980) over those weights of a layer that may change.
class LayerOptimizer {
 public:
  /// @param layer  must outlive this; its weights become leaves of the gradients until finish()
  /// @param query_key_value_bias  whether these biases may change
  /// @param learning_rate  as a share of a weight's root mean square
  LayerOptimizer(LayerWeights& layer, ReconstructScope scope, bool query_key_value_bias, double learning_rate);

  /// What to differentiate with respect to.
  [[nodiscard]] const std::vector<at::Tensor>& weights() const noexcept { return weights_; }

  /// @param gradients  per batch, one for each weight, undefined where the loss does not depend on it; they are added
  /// up
  /// @param factor     of the learning rate
  void step(std::span<const std::span<const at::Tensor>> gradients, double factor);

  /// The weights as they are now are the ones to end with.
  void keep();
  /// Puts the weights that were kept in place, without gradients.
  void finish();

 private:
  void add(at::Tensor& weight, double learning_rate);

  std::vector<at::Tensor*> places_;
  std::vector<at::Tensor> weights_, kept_;
  std::vector<double> rates_;
  /// One for each weight: they are stepped side by side, and operators on parts of a weight would wait for each other.
  std::vector<std::unique_ptr<torch::optim::Adam>> adams_;
};

}  // namespace qcqa
