#pragma once

#include <vector>

#include "forward/attention.hpp"
#include "forward/layer_weights.hpp"

// Layers without heads: what mixes their tokens (see MixerDescription), as a function of weights and hidden states that
// gradients can be taken of, like layer.hpp.

namespace qcqa {

/// What such a layer remembers of several sequences, one row each, in the place of a KV cache.
struct MixerState {
  at::Tensor past;    ///< (sequences, taps - 1, channels): what the convolution saw last
  at::Tensor memory;  ///< (sequences, value heads, key dim, value dim), float32; undefined: a convolution alone
};

/// Of sequences that have no tokens yet.
[[nodiscard]] MixerState empty_state(const MixerWeights& weights, std::int64_t sequences, const Runtime& runtime);

/// @param spans   sequences in the order of their rows of `hidden`; each goes on from its row of `state`
/// @param state   one row for each span, replaced by what follows them; nullptr: the sequences begin here
/// @param hidden  (tokens, hidden_size)  @returns the same shape
[[nodiscard]] at::Tensor run_mixer_layer(const LayerWeights& weights, const ForwardSpec& spec,
                                         const std::vector<AttentionSpan>& spans, const at::Tensor& hidden,
                                         MixerState* state = nullptr);

/// @param prefix  of the layer's names
[[nodiscard]] MixerWeights load_mixer(const Model& model, const std::string& prefix, const ForwardSpec& spec,
                                      const Runtime& runtime);

}  // namespace qcqa
