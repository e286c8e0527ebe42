#pragma once

#include <array>
#include <optional>
#include <vector>

#include "model/attention_facts.hpp"
#include "qcqa/forward/forward_options.hpp"
#include "qcqa/model/model_config.hpp"

namespace qcqa {

/// How positions turn the planes of query and key heads. Planes are (i, i + dim/2), or neighbours.
struct RotarySpec {
  enum class Kind {
    plain,     ///< frequencies alone: default, linear, llama3, yarn
    dynamic,   ///< plain up to max_positions; not defined beyond for sequences of different lengths
    longrope,  ///< other frequencies for sequences longer than `switch_length`
  };
  Kind kind = Kind::plain;
  double theta = 0;                       ///< before any scaling
  int dim = 0;                            ///< of head_dim that is rotated, even
  bool neighbours = false;                ///< planes are (2i, 2i + 1)
  std::vector<float> frequencies;         ///< dim / 2, radians per position
  std::vector<float> long_frequencies{};  ///< longrope
  int switch_length = 0;                  ///< longrope, dynamic
  double magnitude = 1;                   ///< of cosines and sines
  double long_magnitude = 1;              ///< longrope
  /// Queries at position p are multiplied by 1 + query_growth * log(1 + floor(p / query_period)) as well.
  double query_growth = 0;
  double query_period = 1;
};

/// By LayerRotary; nothing for those that no layer has.
using RotarySpecs = std::array<std::optional<RotarySpec>, kLayerRotaries>;

/// @param which  main or windowed, as some layer has it
/// @throws Error(unsupported) for a kind of scaling that is not known
[[nodiscard]] RotarySpec read_rotary_spec(const ModelConfig& config, LayerRotary which);

}  // namespace qcqa
