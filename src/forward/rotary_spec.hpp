#pragma once

#include <vector>

#include "qcqa/forward/forward_options.hpp"
#include "qcqa/model/model_config.hpp"

namespace qcqa {

/// How positions turn the planes of query and key heads. Planes are (i, i + dim/2): all families here store heads so.
struct RotarySpec {
  enum class Kind {
    plain,     ///< frequencies alone: default, linear, llama3, yarn
    dynamic,   ///< plain up to max_positions; not defined beyond for sequences of different lengths
    longrope,  ///< other frequencies for sequences longer than `switch_length`
  };
  Kind kind = Kind::plain;
  double theta = 0;                       ///< before any scaling
  int dim = 0;                            ///< of head_dim that is rotated, even
  std::vector<float> frequencies;         ///< dim / 2, radians per position
  std::vector<float> long_frequencies{};  ///< longrope
  int switch_length = 0;                  ///< longrope, dynamic
  double magnitude = 1;                   ///< of cosines and sines
};

/// Reads rope_parameters (transformers 5) or rope_scaling and the keys beside it.
/// @throws Error(unsupported) for a kind of scaling that is not known
[[nodiscard]] RotarySpec read_rotary_spec(const ModelConfig& config);

}  // namespace qcqa
