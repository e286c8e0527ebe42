#pragma once

#include <string>

#include "qcqa/model/setting.hpp"

namespace qcqa {

/// What mixes tokens in the layers without heads.
enum class MixerKind {
  /// y = output(c * convolution(b * x)), where (b, c, x) = input(normed): LFM2 (Liquid AI).
  short_convolution,
  /// The gated delta rule (Yang et al., "Gated Delta Networks", arXiv 2412.06464, equation 10) over queries, keys and
  /// values that a short convolution made.
  gated_delta,
};

/// The block in the place of attention in layers without heads: names of tensors, relative to the layer's prefix, and
/// of config keys. Convolutions are causal, each channel by itself.
struct MixerDescription {
  MixerKind kind = MixerKind::short_convolution;
  std::string input, convolution, output;  ///< without ".weight"
  Setting<int> taps;                       ///< tokens that a convolution sees, its own included
  Setting<bool> bias;                      ///< of all three

  // Of the gated delta rule alone. Heads of values are consecutive members of those of keys.
  Setting<int> key_heads, value_heads, key_dim, value_dim;
  std::string gate;           ///< of what is put out; empty: `input` makes it too, key head by key head
  std::string update, decay;  ///< of a state, one number per value head; equal: one tensor, key head by key head
  std::string decay_log, decay_bias;  ///< (value_heads), whole names
  std::string norm;                   ///< of each head's output, root mean square
};

}  // namespace qcqa
