#pragma once

#include <cstddef>
#include <vector>

#include "qcqa/model/model_config.hpp"

namespace qcqa {

/// Which of a family's rotary embeddings a layer has.
enum class LayerRotary {
  none,
  main,
  windowed,  ///< that of layers of the kind that has a window, where they have another than the rest
};
inline constexpr std::size_t kLayerRotaries = 3;

/// What one layer's attention does beside its projections.
struct AttentionFacts {
  bool windowed = false;  ///< of the kind that has a window
  int window = 0;         ///< tokens a query sees, itself included; 0: all
  double scale = 1;       ///< of the scores
  double softcap = 0;     ///< of the scores; 0: none
  LayerRotary rotary = LayerRotary::main;
  int rotary_dim = 0;  ///< the first dimensions of a head, which are rotated; even; 0 without a rotary embedding
};

/// Of every layer, by the family's description and config.json. Says nothing of frequencies: a scaling that is not
/// known here stands in the way of running a model, not of merging its heads.
/// @throws Error(corrupt, unsupported) for values that the class would not take
[[nodiscard]] std::vector<AttentionFacts> attention_facts(const ModelConfig& config);

/// The numbers of those layers that have heads, in ascending order; some are there.
/// @throws Error(corrupt, unsupported) for kinds of layers that are not known
[[nodiscard]] std::vector<int> layers_with_heads(const ModelConfig& config);

/// The windows alone. @throws Error(corrupt, unsupported) for values of theirs that the class would not take
[[nodiscard]] std::vector<int> layer_windows(const ModelConfig& config);

/// That of alibi_slopes(), by which scores fall with distance; 0: they do not.
[[nodiscard]] double alibi_exponent(const ModelConfig& config);

/// Whether queries and keys are normalised, by config.json.
[[nodiscard]] bool has_head_norm(const ModelConfig& config);

}  // namespace qcqa
