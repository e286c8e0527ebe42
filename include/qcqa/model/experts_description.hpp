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
  sparse_mixer,       ///< see ExpertsDescription::mixer_tolerance
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
  bool router_bias = false;
  /// With "{expert}" where each expert has matrices of its own; else of tensors (experts, outputs, inputs).
  MlpNames names;
  /// Of experts with matrices of their own: tensors (experts, outputs, inputs), whole names, that may be stored in the
  /// place of them all. No `up`: the class knows none.
  MlpNames stacked;
  Setting<double> count, per_token;
  Setting<double> width;  ///< of each
  /// Stacks are tensors of the class's own, not weights of linear maps: nothing stands behind their names, and they are
  /// (experts, inputs, outputs).
  bool are_parameters = false;
  /// In the place of such a tensor, two of its name and "_blocks" and "_scales" behind may be stored: (experts,
  /// outputs, inputs) in MXFP4.
  bool may_be_mxfp4 = false;
  bool has_biases = false;  ///< of `are_parameters`: with "_bias" behind the names, (experts, outputs)
  bool take_turns = false;  ///< where gate == up: a gate row and an up row by turns, not all gate rows first

  RouterScores scores{};
  /// Of sparse_mixer, SparseMixer-v2 without its noise (Liu et al., "GRIN: GRadient-INformed MoE", arXiv 2409.12136,
  /// section 2): the two best experts, one after the other; each counts its softmax among those that were not chosen
  /// before and are not less than the best of them by more than 2 * this, relative to what they are.
  Setting<double> mixer_tolerance;
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
  /// A tensor's whole name, relative to the layer's prefix.
  [[nodiscard]] std::string weight_of(const std::string& name) const {
    return are_parameters ? name : name + ".weight";
  }
  [[nodiscard]] static std::string bias_of(const std::string& name) { return name + "_bias"; }
  /// The names with a number in them, where that is their place.
  [[nodiscard]] MlpNames of_expert(int expert) const;
};

}  // namespace qcqa
