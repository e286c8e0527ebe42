#include "forward/layer.hpp"

#include <ATen/ATen.h>

#include <cmath>

namespace qcqa {
namespace {

at::Tensor activated(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::silu:
      return at::silu(x);
    case Activation::gelu:
      return at::gelu(x);
    case Activation::gelu_tanh:
      return at::gelu(x, "tanh");
    case Activation::quick_gelu:
      return x * at::sigmoid(1.702 * x);
    case Activation::relu:
      return at::relu(x);
    case Activation::relu_squared:
      return at::relu(x).square();
    case Activation::relu6:
      return at::clamp(x, 0, 6);
    case Activation::gelu_clipped:
      return at::clamp(at::gelu(x), -10, 10);
    case Activation::leaky_relu:
      return at::leaky_relu(x);
    case Activation::hard_swish:
      return at::hardswish(x);
    case Activation::mish:
      return at::mish(x);
    case Activation::sigmoid:
      return at::sigmoid(x);
    case Activation::tanh:
      return at::tanh(x);
    case Activation::laplace:  // Ma et al., "Mega: Moving Average Equipped Gated Attention", arXiv 2209.10655
      return at::add(at::erf((x - 0.707107) / (0.282095 * std::sqrt(2.0))), 1) * 0.5;
    case Activation::root_softplus:
      return at::softplus(x).sqrt();
    case Activation::identity:
      return x;
  }
  return x;
}

/// @param heads  (tokens, heads, head_dim)
at::Tensor normalised_heads(const at::Tensor& heads, const NormWeights& norm, const ForwardSpec& spec) {
  return norm.weight.defined() ? apply_norm(heads, norm, spec) : heads;
}

}  // namespace

at::Tensor apply_norm(const at::Tensor& x, const NormWeights& norm, const ForwardSpec& spec) {
  const at::Tensor wide = x.to(at::kFloat);
  if (spec.names->norm_kind == NormKind::layer) {
    return at::layer_norm(wide, {x.size(-1)}, norm.weight, norm.bias, spec.norm_epsilon).to(x.scalar_type());
  }
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, true) + spec.norm_epsilon);
  return (wide * scale * norm.weight).to(x.scalar_type());
}

at::Tensor run_attention(const LayerWeights& weights, const ForwardSpec& spec, const RotaryTable::Rows& rotary,
                         const Attend& attend, const at::Tensor& normed) {
  const at::Tensor qkv = weights.query_key_value(normed);
  const std::int64_t tokens = normed.size(0);
  const std::int64_t kv_width = std::int64_t{weights.kv_heads} * weights.head_dim;
  const std::vector<at::Tensor> parts =  // one split: its gradient is one concatenation
      at::split_with_sizes(qkv, {std::int64_t{weights.query_heads} * weights.head_dim, kv_width, kv_width}, 1);
  const auto rotated = [&](const at::Tensor& part, const NormWeights& norm) {
    const at::Tensor heads = part.view({tokens, -1, weights.head_dim});
    return apply_rotary(normalised_heads(heads, norm, spec), rotary).view(part.sizes());
  };
  return weights.output(attend(rotated(parts[0], weights.query_norm), rotated(parts[1], weights.key_norm), parts[2]));
}

at::Tensor run_mlp(const LayerWeights& weights, const ForwardSpec& spec, const at::Tensor& normed) {
  const at::Tensor gate_up = weights.gate_up(normed);
  if (!weights.gated) return weights.down(activated(gate_up, spec.activation));
  const std::vector<at::Tensor> halves = at::split(gate_up, weights.down.inputs(), 1);
  return weights.down(activated(halves[0], spec.activation) * halves[1]);
}

at::Tensor run_layer(const LayerWeights& weights, const ForwardSpec& spec, const RotaryTable::Rows& rotary,
                     const Attend& attend, const at::Tensor& hidden) {
  const auto plus_block = [&](const at::Tensor& residual, const at::Tensor& block, const NormWeights& post_norm) {
    return at::add(residual, post_norm.weight.defined() ? apply_norm(block, post_norm, spec) : block,
                   spec.residual_multiplier);
  };
  const at::Tensor normed = apply_norm(hidden, weights.attention_norm, spec);
  const at::Tensor between =
      plus_block(hidden, run_attention(weights, spec, rotary, attend, normed), weights.attention_post_norm);
  const at::Tensor& mlp_reads = spec.parallel ? hidden : between;
  const at::Tensor mlp_input =
      weights.mlp_norm.weight.defined() ? apply_norm(mlp_reads, weights.mlp_norm, spec) : normed;
  return plus_block(between, run_mlp(weights, spec, mlp_input), weights.mlp_post_norm);
}

}  // namespace qcqa
