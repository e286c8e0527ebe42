#pragma once

#include <string>
#include <vector>

#include "forward/rotary_spec.hpp"
#include "model/experts_facts.hpp"
#include "model/mixer_facts.hpp"
#include "qcqa/model/model.hpp"

namespace qcqa {

enum class Activation {
  silu,
  gelu,
  gelu_tanh,
  gelu_clipped,  ///< gelu, its values kept within -10 and 10
  quick_gelu,
  relu,
  relu6,
  relu_squared,
  leaky_relu,
  hard_swish,
  mish,
  sigmoid,
  tanh,
  laplace,
  root_softplus,
  identity,
  xielu,  ///< has weights: ActivationCurve
};

/// See BoundedGateDescription.
struct BoundedGate {
  double slope = 0, limit = 0;
};

/// A model's description with every setting read from its config.json.
struct ForwardSpec {
  const Architecture* architecture = nullptr;
  const ForwardDescription* names = nullptr;
  int max_positions = 0;

  double embedding_multiplier = 1;
  double norm_epsilon = 0;
  bool parallel = false;
  double residual_multiplier = 1;
  std::vector<AttentionFacts> attention{};  ///< per layer
  RotarySpecs rotary{};
  bool head_norm = false;
  double clip = 0;            ///< of queries, keys and values; 0: none
  double alibi = 0;           ///< see alibi_slopes(); 0: none
  bool rounds_alibi = false;  ///< see AlibiDescription
  Activation activation{};
  std::optional<BoundedGate> bounded_gate{};  ///< in the place of the activation
  std::optional<ExpertsFacts> experts{};
  std::optional<MixerFacts> mixer{};  ///< where some layers have no heads
  double logit_divisor = 1;
  double logit_softcap = 0;  ///< 0: none

  [[nodiscard]] bool has_experts(int layer) const {
    return experts && experts->in_layer[static_cast<std::size_t>(layer)];
  }
  [[nodiscard]] const AttentionFacts& attention_of(int layer) const {
    return attention[static_cast<std::size_t>(layer)];
  }
};

/// @throws Error(unsupported) when the family, its rotary scaling or its activation cannot be run;
///         Error(corrupt) for values of a wrong type
[[nodiscard]] ForwardSpec read_forward_spec(const ModelConfig& config);
[[nodiscard]] inline ForwardSpec read_forward_spec(const Model& model) { return read_forward_spec(model.settings()); }

}  // namespace qcqa
