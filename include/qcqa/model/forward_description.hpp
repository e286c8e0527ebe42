#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace qcqa {

/// A value that config.json may hold under `key`; `fallback` is what the family's class takes where the key is absent.
/// Without a key it is always `fallback`.
template <typename T>
struct Setting {
  std::string key;
  T fallback{};
  std::optional<T> null{};  ///< what JSON null stands for; nothing: the class refuses it
};

enum class NormKind {
  rms,    ///< x / rms(x) * weight, no bias
  layer,  ///< (x - mean) / deviation * weight + bias
};

/// Layers that a sliding window applies to where config.json does not say it layer by layer.
enum class WindowLayers { all, even, from_layer };

struct WindowDescription {
  Setting<double> size;  ///< tokens a query sees, itself included; 0: all of them
  Setting<bool> enabled{.key = {}, .fallback = true};
  WindowLayers layers = WindowLayers::all;
  Setting<double> first_layer;     ///< for from_layer
  bool reads_layer_types = false;  ///< the class follows config.json's layer_types where there are any
};

/// A norm over each query and key head before the rotary embedding; tensors relative to the attention prefix. Of the
/// family's kind of norm.
struct HeadNormDescription {
  std::string query, key;
  Setting<bool> enabled{.key = {}, .fallback = true};
  bool ignores_head_dim = false;  ///< the class builds them for hidden size / query heads, whatever head_dim says
};

/// The matrix that makes logits of hidden states.
struct HeadDescription {
  std::string tensor;                ///< without ".weight"
  std::vector<std::string> aliases;  ///< other names that checkpoints have for it
  bool bias = false;
  Setting<bool> tied;  ///< the embedding is the matrix
};

/// What surrounds the attention block, as data: names of tensors (without ".weight") and of config keys.
struct ForwardDescription {
  Setting<double> embedding_multiplier{.key = {}, .fallback = 1};
  bool embedding_times_root = false;  ///< multiplied by sqrt(hidden size) as well

  NormKind norm_kind = NormKind::rms;
  Setting<double> norm_epsilon;
  double norm_offset = 0;  ///< added to a norm's weight
  std::string final_norm;

  std::string layer_prefix;  ///< with "{layer}"
  std::string attention_norm;
  std::string mlp_norm;                            ///< empty: the MLP reads the attention's normed input
  std::string attention_post_norm, mlp_post_norm;  ///< of the block's output; empty: none
  Setting<bool> parallel;                          ///< both blocks read the layer's input
  bool one_norm_when_parallel = false;             ///< the MLP then reads the attention's normed input
  Setting<double> residual_multiplier{.key = {}, .fallback = 1};

  Setting<double> rotary_theta;
  Setting<double> rotary_share{.key = {}, .fallback = 1};  ///< of head_dim that is rotated
  std::map<std::string, std::string> rotary_aliases;       ///< kinds of scaling that mean another in this family
  /// The trained length, which comes before the one among the scaling's own keys; 0: not stated.
  Setting<double> rotary_original_positions{.key = "original_max_position_embeddings"};

  Setting<double> attention_scale;       ///< of the scores; 0: from attention_scale_root
  Setting<double> attention_scale_root;  ///< scale is 1/sqrt(this); 0: head_dim
  Setting<double> attention_softcap;     ///< 0: none
  WindowDescription window;
  HeadNormDescription head_norm;  ///< empty names: none

  std::string mlp_gate, mlp_up, mlp_down;  ///< no gate: plain; gate == up: one tensor, gate rows first
  Setting<bool> mlp_bias;                  ///< of all of them
  Setting<std::string> activation;
  std::map<std::string, std::string> activation_aliases;  ///< names that mean another function in this family

  Setting<double> logit_divisor{.key = {}, .fallback = 1};
  Setting<double> logit_softcap;  ///< 0: none

  /// "model.layers.3."
  [[nodiscard]] std::string prefix_of(int layer) const;
};

}  // namespace qcqa
