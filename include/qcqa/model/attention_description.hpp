#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "qcqa/model/setting.hpp"

namespace qcqa {

enum class NormKind {
  rms,    ///< x / rms(x) * weight
  layer,  ///< (x - mean) / deviation * weight + bias
};

/// The kind that all norms of a family are of.
struct NormDescription {
  NormKind kind = NormKind::rms;
  Setting<double> epsilon{};
  double offset = 0;  ///< added to a norm's weight
  bool bias = false;
  bool weights = true;  ///< false: neither weights nor biases
};

/// Layers of the kind that a sliding window applies to, where config.json does not say it layer by layer.
enum class WindowLayers {
  all,
  even,
  odd,
  from_layer,
  all_but_every,           ///< every `period`-th layer sees everything
  all_but_first_of_every,  ///< the first of every `period` layers sees everything
  not_rotated,             ///< those without a rotary embedding
};

struct WindowDescription {
  Setting<double> size;  ///< tokens a query sees, itself included; 0: all of them
  Setting<bool> enabled{.key = {}, .fallback = true};
  WindowLayers layers = WindowLayers::all;
  Setting<double> first_layer;  ///< for from_layer
  Setting<int> period;          ///< for all_but_every and all_but_first_of_every
  /// The key of a list of [[kind, ...], times], kinds being "global" and "local" (GPT-Neo); empty: none. Without the
  /// list, `layers` counts. `list`, a key of the kinds of all layers one by one, comes first.
  std::string pattern, list;
  bool reads_layer_types = false;  ///< the class follows config.json's layer_types where there are any
};

/// Layers whose queries and keys are turned by their position.
enum class RotatedLayers {
  all,
  windowed,         ///< those of the kind that has a window
  windowed_if_any,  ///< the same; all where config.json states no window
  without_alibi,    ///< all, where scores do not fall with distance
  listed,           ///< config.json holds a list of 0 and 1; without one, every `period`-th is not turned
};

struct RotaryDescription {
  Setting<double> theta;
  Setting<double> share{.key = {}, .fallback = 1};  ///< of head_dim that is rotated
  Setting<int> dims;                           ///< the number of dimensions of head_dim that are rotated; 0: by `share`
  std::map<std::string, std::string> aliases;  ///< kinds of scaling that mean another in this family
  /// The trained length, which comes before the one among the scaling's own keys; 0: not stated.
  Setting<double> original_positions{.key = "original_max_position_embeddings"};
  bool must_be_scaled = false;  ///< the class has a scaling of its own where config.json states none
  /// A scaling states the magnitudes of cosines and sines itself, "short_mscale" and "long_mscale" for texts longer
  /// than the trained length, and the class takes the "short_factor" for both (Phi-3.5-MoE in transformers).
  bool states_magnitudes = false;
  bool neighbours = false;  ///< dimensions 2i and 2i + 1 are turned together, not i and i + half of those rotated
  RotatedLayers layers = RotatedLayers::all;
  std::string list;       ///< for listed: its key
  Setting<int> period{};  ///< for listed
  /// Queries are multiplied by 1 + beta * log(1 + floor(position / trained length)), as in Llama 4; beta is the
  /// scaling's "llama_4_scaling_beta".
  bool scales_queries = false;
  std::optional<Setting<double>> windowed_theta;  ///< layers of the kind that has a window have this one, unscaled
};

/// What a norm of queries and keys is taken over.
enum class HeadNormScope {
  head,        ///< each head, with one vector of weights for all
  own,         ///< each head, with weights of its own: (heads, head_dim)
  projection,  ///< all heads of a token together: (heads * head_dim)
};

/// A norm of queries and keys; tensors relative to the attention prefix. Of the family's kind of norm.
struct HeadNormDescription {
  std::string query, key;  ///< empty: none
  Setting<bool> enabled{.key = {}, .fallback = true};
  HeadNormScope scope = HeadNormScope::head;
  bool after_rotary = false;
  bool ignores_head_dim = false;  ///< the class builds them for hidden size / query heads, whatever head_dim says
};

/// Which layers have heads, where some have another block in the place of attention.
struct HeadLayers {
  std::vector<std::string> types;                ///< what config.json's layer_types calls those with heads ...
  std::vector<std::string> others;               ///< ... and the others. Without that list:
  Setting<int> every{.key = {}, .fallback = 1};  ///< layer i has heads where this divides i + 1
  std::string list;                              ///< the key of a list of their numbers, which comes before `every`
};

/// Scores that fall with distance by slopes of each query head's own: see alibi_slopes().
struct AlibiDescription {
  Setting<double> exponent;
  Setting<bool> enabled{.key = {}, .fallback = true};
  /// As Falcon: slopes, positions and their products are rounded to bfloat16, and scaled with the scores.
  bool rounded = false;
};

/// What a family's attention does beside its projections. What holds for some layers only is said layer by layer by
/// attention_facts().
struct AttentionDescription {
  std::optional<HeadLayers> in_layers;  ///< nothing: in all
  std::string input_norm;               ///< of the layer's input, relative to the layer's prefix; empty: none
  std::optional<RotaryDescription> rotary;
  HeadNormDescription head_norm;
  Setting<double> scale;       ///< of the scores; 0: from scale_root
  Setting<double> scale_root;  ///< scale is 1/sqrt(this); 0: head_dim
  Setting<double> softcap;     ///< of the scores; 0: none
  Setting<double> clip;  ///< queries, keys and values are kept within -clip and clip, biases included; 0: they are not
  WindowDescription window;
  std::optional<AlibiDescription> alibi;
  /// A tensor (query heads) relative to the attention prefix: the score of something of value zero that every query of
  /// a head sees beside the keys, its attention sink (OpenAI, gpt-oss); empty: none.
  std::string sinks;
};

}  // namespace qcqa
