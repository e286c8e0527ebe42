#pragma once

#include <string>
#include <string_view>

#include "qcqa/model/setting.hpp"

namespace qcqa {

/// What a router makes of its outputs, one per expert.
enum class RouterScores {
  softmax,
  sigmoid,
  softmax_of_chosen,  ///< over those that a token goes to, not over all
};

/// Stands for an expert's number in names.
inline constexpr std::string_view kExpert = "{expert}";

/// Of the matrices of a gated MLP. No gate: a plain one; gate == up: one matrix of both, gate rows first.
struct MlpNames {
  std::string gate, up, down;
};

/// An MLP of many parts, each token taking some of them, as data: names of tensors (without ".weight", relative to the
/// layer's prefix) and of config keys. Counts are whole numbers, of which some may be 0 or less.
struct ExpertsDescription {
  std::string router;
  /// With "{expert}" where each expert has matrices of its own; else of tensors (experts, outputs, inputs).
  MlpNames names;
  Setting<double> count, per_token;
  Setting<double> width;  ///< of each

  RouterScores scores{};
  std::string choice_bias;  ///< a whole name: added to scores where experts are chosen, not where they are weighed
  bool choice_bias_is_row = false;                             ///< of shape (1, experts), not (experts)
  Setting<bool> normalised;                                    ///< the weights of a token's experts sum to one ...
  Setting<double> least_sum;                                   ///< ... unless their sum is less than this
  Setting<double> multiplier{.key = {}, .fallback = 1};        ///< of the weights
  Setting<double> groups{.key = {}, .fallback = 1};            ///< equal parts of the experts ...
  Setting<double> groups_per_token{.key = {}, .fallback = 1};  ///< ... of which those with the best two scores count

  MlpNames shared;                                         ///< of an expert for every token; no `up`: there is none
  Setting<double> shared_width;                            ///< 0: this model has none
  Setting<double> shared_count{.key = {}, .fallback = 1};  ///< so many of that width, in one
  std::string shared_switch;  ///< a map to one number, whose sigmoid scales what the shared one gives; empty: none

  // Layers with experts; the others have the family's plain MLP.
  Setting<double> first_layer;
  Setting<double> last_layer{.key = {}, .fallback = -1};  ///< -1: the last one there is
  Setting<double> every{.key = {}, .fallback = 1};        ///< layer i where this divides i + 1
  std::string plain_layers;  ///< the key of a list of layers without; empty: the family has no such key

  [[nodiscard]] bool are_stacked() const { return names.up.find(kExpert) == std::string::npos; }
  /// The names with a number in them, where that is their place.
  [[nodiscard]] MlpNames of_expert(int expert) const;
};

}  // namespace qcqa
