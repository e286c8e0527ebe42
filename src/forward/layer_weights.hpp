#pragma once

#include "forward/forward_spec.hpp"
#include "forward/linear.hpp"

namespace qcqa {

struct NormWeights {
  at::Tensor weight;      ///< float32, the family's offset added, (width) or (heads, head_dim); undefined: no norm here
  at::Tensor bias;        ///< float32 or undefined
  bool is_fixed = false;  ///< the family's class has no weights for it: they are ones
};

/// Everything one layer computes with, in memory.
struct LayerWeights {
  int query_heads = 0, kv_heads = 0, head_dim = 0;
  std::vector<int> kv_head_of{};  ///< per query head

  NormWeights attention_norm{}, attention_post_norm{}, mlp_norm{}, mlp_post_norm{}, query_norm{}, key_norm{};
  Linear query_key_value{};  ///< outputs: query heads, key heads, value heads
  Linear output{};
  Linear gate_up{};  ///< gate rows (none for a plain MLP), then up rows
  Linear down{};
  bool gated = false;
};

/// @param attention  the head view to use: the model's own, or one that was changed in memory
[[nodiscard]] LayerWeights load_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec,
                                      const Runtime& runtime);

/// A norm of the family's kind over the hidden size or, where its tensor says so, another.
/// @param name  of its tensors, without ".weight"
[[nodiscard]] NormWeights load_norm(const Model& model, const std::string& name, const Runtime& runtime);

/// Tells the system that these weights will be read soon, or are no longer needed.
void prefetch_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec);
void release_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec);

}  // namespace qcqa
