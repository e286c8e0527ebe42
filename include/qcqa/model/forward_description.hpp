#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "qcqa/model/experts_description.hpp"
#include "qcqa/model/mixer_description.hpp"
#include "qcqa/model/setting.hpp"

namespace qcqa {

/// The matrix that makes logits of hidden states.
struct HeadDescription {
  std::string tensor;                ///< without ".weight"
  std::vector<std::string> aliases;  ///< other names that checkpoints have for it
  Setting<bool> bias;
  Setting<bool> tied;      ///< the embedding is the matrix
  bool unit_rows = false;  ///< its rows are taken at a length of 1, whatever the checkpoint holds
};

/// Learned vectors that are added to the embeddings of tokens, by their position.
struct PositionDescription {
  std::string tensor;  ///< without ".weight"; empty: none
  int offset = 0;      ///< rows before that of the first position
};

/// An MLP down((min(u, limit) + 1) * g sigmoid(slope * g)), g = min(gate(x), limit), u = up(x) no less than -limit.
struct BoundedGateDescription {
  Setting<double> slope, limit;
};

/// What surrounds the attention blocks, as data: names of tensors (without ".weight") and of config keys.
struct ForwardDescription {
  Setting<double> embedding_multiplier{.key = {}, .fallback = 1};
  bool embedding_times_root = false;  ///< multiplied by sqrt(hidden size) as well
  PositionDescription positions;
  std::string embedding_norm;  ///< of the embeddings; empty: none

  std::string final_norm;

  // Relative to the layer's prefix.
  std::string mlp_norm;  ///< empty: the MLP reads what the attention block reads if parallel, else the stream itself
  std::string attention_post_norm, mlp_post_norm;  ///< of the block's output; empty: none
  Setting<bool> parallel;                          ///< both blocks read the layer's input
  bool one_norm_when_parallel = false;             ///< the MLP then reads the attention's normed input
  Setting<double> residual_multiplier{.key = {}, .fallback = 1};
  bool residual_over_root_of_layers = false;  ///< the multiplier is divided by the root of the number of layers

  /// No gate: plain; gate == up: one tensor, gate rows first. No up: all layers have experts.
  MlpNames mlp;
  Setting<bool> mlp_bias;  ///< of all of them
  Setting<std::string> activation;
  std::string activation_weights;  ///< of a function that has some, with ".alpha_p" and so on behind; empty: none has
  std::map<std::string, std::string> activation_aliases;  ///< names that mean another function in this family
  std::optional<BoundedGateDescription> bounded_gate;     ///< in the place of the activation
  std::optional<ExpertsDescription> experts;              ///< in the place of the MLP, in some layers or all
  std::optional<MixerDescription> mixer;                  ///< in the place of attention, in layers without heads

  Setting<double> logit_divisor{.key = {}, .fallback = 1};
  Setting<double> logit_base_width;  ///< logits are divided by the hidden size over this as well; 0: they are not
  Setting<double> logit_multiplier{.key = {}, .fallback = 1};
  Setting<double> logit_softcap;  ///< 0: none
};

}  // namespace qcqa
