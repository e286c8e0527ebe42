#pragma once

#include <map>
#include <string>
#include <vector>

namespace qcqa {

/// A value that config.json may hold under `key`; `fallback` is what the family's class takes where the key is absent.
/// Without a key it is always `fallback`. JSON null reads as T{}: 0, false, "", which stand for "none".
template <typename T>
struct Setting {
  std::string key;
  T fallback{};
};

enum class NormKind {
  rms,    ///< x / rms(x) * weight
  layer,  ///< (x - mean) / deviation * weight + bias
};

/// Layers that a sliding window applies to. config.json's layer_types, where there are any, come before `even` and
/// `from_layer`, as in the model classes.
enum class WindowLayers { all, even, from_layer };

struct WindowDescription {
  Setting<double> size;  ///< tokens a query sees, itself included; 0: all of them
  Setting<bool> enabled{.key = {}, .fallback = true};
  WindowLayers layers = WindowLayers::all;
  Setting<double> first_layer;  ///< for from_layer
};

/// A norm over each query and key head before the rotary embedding; tensors relative to the attention prefix.
struct HeadNormDescription {
  std::string query, key;
  Setting<bool> enabled{.key = {}, .fallback = true};
};

/// What surrounds the attention block, as data: names of tensors (without ".weight") and of config keys. A bias is
/// added wherever the checkpoint stores one. "{layer}" stands in layer_prefix only.
struct ForwardDescription {
  std::string embedding;
  Setting<double> embedding_multiplier{.key = {}, .fallback = 1};
  bool embedding_times_root = false;  ///< multiplied by sqrt(hidden size) as well

  NormKind norm_kind = NormKind::rms;
  Setting<double> norm_epsilon;
  double norm_offset = 0;  ///< added to a norm's weight
  std::string final_norm;

  std::string layer_prefix;
  std::string attention_norm;
  std::string mlp_norm;                            ///< empty: the MLP reads the attention's normed input
  std::string attention_post_norm, mlp_post_norm;  ///< of the block's output; empty: none
  Setting<bool> parallel;                          ///< both blocks read the layer's input
  bool one_norm_when_parallel = false;             ///< the MLP then reads the attention's normed input
  Setting<double> residual_multiplier{.key = {}, .fallback = 1};

  Setting<double> rotary_theta;
  Setting<double> rotary_share{.key = {}, .fallback = 1};  ///< of head_dim that is rotated
  std::map<std::string, std::string> rotary_aliases;       ///< kinds of scaling that mean another in this family

  Setting<double> attention_scale;       ///< of the scores; 0: from attention_scale_root
  Setting<double> attention_scale_root;  ///< scale is 1/sqrt(this); 0: head_dim
  Setting<double> attention_softcap;     ///< 0: none
  WindowDescription window;
  HeadNormDescription head_norm;  ///< empty names: none

  std::string mlp_gate, mlp_up, mlp_down;  ///< no gate: plain; gate == up: one tensor, gate rows first
  Setting<std::string> activation;
  std::map<std::string, std::string> activation_aliases;  ///< names that mean another function in this family

  std::string head;
  Setting<bool> tied;  ///< without a head tensor, the embedding is the head
  Setting<double> logit_divisor{.key = {}, .fallback = 1};
  Setting<double> logit_softcap;  ///< 0: none
};

}  // namespace qcqa
