#pragma once

#include <optional>

#include "forward/forward_spec.hpp"
#include "forward/linear.hpp"

namespace qcqa {

struct NormWeights {
  at::Tensor weight;      ///< float32, the family's offset added, (width) or (heads, head_dim); undefined: no norm here
  at::Tensor bias;        ///< float32 or undefined
  bool is_fixed = false;  ///< the family's class has no weights for it: they are ones
};

/// xIELU (Huang and Schlag, "Deriving Activation Functions Using Integration", arXiv 2411.13010, equation 12): above 0
/// square x^2 + slope x, else exponential (e^min(x, least) - 1 - x) + slope x.
struct ActivationCurve {
  double square = 0, exponential = 0, slope = 0, least = 0;
};

/// y = down(act(gate(x)) * up(x)), or down(act(up(x))) without a gate.
struct MlpWeights {
  Linear gate_up{};  ///< gate rows (none for a plain MLP), then up rows
  Linear down{};
  ActivationCurve curve{};  ///< where the activation has weights

  [[nodiscard]] bool is_gated() const { return gate_up.outputs() != down.inputs(); }
};

/// A mixture of experts in the place of an MLP.
struct ExpertWeights {
  Linear router{};           ///< outputs: experts
  at::Tensor choice_bias{};  ///< (experts), float32; undefined: none
  std::vector<MlpWeights> experts{};
  MlpWeights shared{};     ///< undefined: none
  Linear shared_switch{};  ///< undefined: none
};

/// What stands in the place of attention in a layer without heads. See MixerDescription.
struct MixerWeights {
  Linear input{}, output{};            ///< input: of the gated delta rule queries, keys, values, gates, updates, decays
  at::Tensor kernel{}, kernel_bias{};  ///< (taps, channels), (channels) or undefined
  // Of the gated delta rule alone.
  int value_heads = 0, key_dim = 0, value_dim = 0;
  at::Tensor decay_rate{}, decay_bias{}, norm{};  ///< (value heads), (value heads), (value dim), float32
};

/// Everything one layer computes with, in memory.
struct LayerWeights {
  int query_heads = 0, kv_heads = 0, head_dim = 0;
  std::vector<int> kv_head_of{};  ///< per query head

  NormWeights attention_norm{}, attention_post_norm{}, mlp_norm{}, mlp_post_norm{}, query_norm{}, key_norm{};
  Linear query_key_value{};  ///< outputs: query heads, key heads, value heads
  Linear gate{};  ///< outputs: query heads, whose outputs are multiplied by its sigmoid; undefined: they are not
  Linear output{};
  at::Tensor sinks{}, slopes{};  ///< (query heads), float32; undefined: none; see AttentionOptions
  MlpWeights mlp{};              ///< undefined where there are experts
  std::optional<ExpertWeights> experts{};
  std::optional<MixerWeights> mixer{};  ///< then there are no heads
};

/// Calls `visit` with each linear map that is defined, those of experts too.
template <typename Visit>
void for_each_linear(LayerWeights& layer, const Visit& visit) {
  const auto visit_if_any = [&](Linear& linear) {
    if (linear.weight.defined()) visit(linear);
  };
  for (Linear* linear : {&layer.query_key_value, &layer.gate, &layer.output, &layer.mlp.gate_up, &layer.mlp.down})
    visit_if_any(*linear);
  if (layer.mixer) {
    for (Linear* linear : {&layer.mixer->input, &layer.mixer->output}) visit_if_any(*linear);
  }
  if (!layer.experts) return;
  for (Linear* linear : {&layer.experts->router, &layer.experts->shared.gate_up, &layer.experts->shared.down,
                         &layer.experts->shared_switch}) {
    visit_if_any(*linear);
  }
  for (MlpWeights& expert : layer.experts->experts) {
    visit_if_any(expert.gate_up);
    visit_if_any(expert.down);
  }
}

/// @param attention  the head view to use: the model's own, or one that was changed in memory
[[nodiscard]] LayerWeights load_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec,
                                      const Runtime& runtime);

/// A layer without heads. @param place  its number in the model
[[nodiscard]] LayerWeights load_mixer_layer(const Model& model, int place, const ForwardSpec& spec,
                                            const Runtime& runtime);

/// A norm of the family's kind over the hidden size or, where its tensor says so, another.
/// @param name  of its tensors, without ".weight"
[[nodiscard]] NormWeights load_norm(const Model& model, const std::string& name, const Runtime& runtime);

/// A matrix and its bias, if there is one. @param name  without ".weight"
[[nodiscard]] Linear load_linear(const Model& model, const std::string& name, const Runtime& runtime);
/// @param prefix  of the names
[[nodiscard]] MlpWeights load_mlp(const Model& model, const std::string& prefix, const MlpNames& names,
                                  const Runtime& runtime);
/// @param gate_up  gate rows, if any, then up rows
/// @param names    of the tensors, for errors
[[nodiscard]] MlpWeights read_mlp(const Model& model, const LinearSource& gate_up, const LinearSource& down,
                                  const std::string& prefix, const MlpNames& names, const Runtime& runtime);

/// Tells the system that these weights will be read soon, or are no longer needed.
void prefetch_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec);
void release_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec);
void release_mixer_layer(const Model& model, int place, const ForwardSpec& spec);

}  // namespace qcqa
