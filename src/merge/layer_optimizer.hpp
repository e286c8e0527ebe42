#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
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

  /// What step() goes on from: for each weight its value, both moments, and the value that was kept; float32.
  [[nodiscard]] std::vector<at::Tensor> state() const;
  /// @param state  of an optimizer of the same weights, after `steps` steps
  void restore(std::span<const at::Tensor> state, std::int64_t steps);

  /// The weights as they are now are the ones to end with.
  void keep();
  /// Puts the weights that were kept in place, in float32 and without gradients.
  void finish();

 private:
  /// What Adam keeps for a weight, in its shape and in float32: narrower types would lose most steps.
  struct Moments {
    at::Tensor value;  ///< the weight itself where it is float32
    at::Tensor first, second, scratch;
    double rate;
  };

  void add(at::Tensor& weight, double learning_rate);

  std::vector<at::Tensor*> places_;
  std::vector<at::Tensor> weights_, kept_;
  std::vector<Moments> moments_;
  std::int64_t steps_ = 0;
};

}  // namespace qcqa
