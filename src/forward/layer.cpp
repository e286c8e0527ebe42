#include "forward/layer.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "forward/experts.hpp"

namespace qcqa {
namespace {

at::Tensor xielu(const at::Tensor& x, const ActivationCurve& curve) {
  const at::Tensor above = curve.square * x.square();
  const at::Tensor below = curve.exponential * (at::expm1(at::clamp_max(x, curve.least)) - x);
  return at::where(x > 0, above, below) + curve.slope * x;
}

at::Tensor bounded(const at::Tensor& gate, const at::Tensor& up, const BoundedGate& bounds) {
  const at::Tensor kept = at::clamp_max(gate, bounds.limit);
  return (at::clamp(up, -bounds.limit, bounds.limit) + 1) * kept * at::sigmoid(bounds.slope * kept);
}

at::Tensor norm_if_any(const at::Tensor& x, const NormWeights& norm, const ForwardSpec& spec) {
  return norm.weight.defined() ? apply_norm(x, norm, spec) : x;
}

at::Tensor clipped(const at::Tensor& x, const ForwardSpec& spec) {
  return spec.clip > 0 ? at::clamp(x, -spec.clip, spec.clip) : x;
}

/// @param part  (tokens, heads * head_dim): queries or keys  @param norm  theirs  @returns the same shape
at::Tensor turned(const at::Tensor& part, const NormWeights& norm, const LayerWeights& weights, const ForwardSpec& spec,
                  const RotaryTable::Rows& rotary) {
  const HeadNormDescription& description = spec.architecture->attention.head_norm;
  const bool whole = description.scope == HeadNormScope::projection;
  const at::Tensor heads =
      clipped(whole ? norm_if_any(part, norm, spec) : part, spec).view({part.size(0), -1, weights.head_dim});
  if (whole) return apply_rotary(heads, rotary).view(part.sizes());
  if (description.after_rotary) return norm_if_any(apply_rotary(heads, rotary), norm, spec).view(part.sizes());
  return apply_rotary(norm_if_any(heads, norm, spec), rotary).view(part.sizes());
}

}  // namespace

at::Tensor activated(const at::Tensor& x, Activation activation, const ActivationCurve& curve) {
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
    case Activation::xielu:
      return xielu(x, curve);
  }
  return x;
}

at::Tensor apply_norm(const at::Tensor& x, const NormWeights& norm, const ForwardSpec& spec) {
  const at::Tensor wide = x.to(at::kFloat);
  if (spec.architecture->norm.kind == NormKind::layer) {
    if (norm.weight.dim() > 1)  // weights for each head
      return (at::layer_norm(wide, {x.size(-1)}, {}, {}, spec.norm_epsilon) * norm.weight).to(x.scalar_type());
    return at::layer_norm(wide, {x.size(-1)}, norm.weight, norm.bias, spec.norm_epsilon).to(x.scalar_type());
  }
  const at::Tensor scale = at::rsqrt(wide.square().mean(-1, true) + spec.norm_epsilon);
  return (wide * scale * norm.weight).to(x.scalar_type());
}

at::Tensor attention_input(const LayerWeights& weights, const ForwardSpec& spec, const at::Tensor& hidden) {
  return norm_if_any(hidden, weights.attention_norm, spec);
}

at::Tensor run_attention(const LayerWeights& weights, const ForwardSpec& spec, const RotaryTable::Rows& rotary,
                         const Attend& attend, const at::Tensor& normed) {
  const at::Tensor qkv = weights.query_key_value(normed);
  const std::int64_t kv_width = std::int64_t{weights.kv_heads} * weights.head_dim;
  const std::vector<at::Tensor> parts =  // one split: its gradient is one concatenation
      at::split_with_sizes(qkv, {std::int64_t{weights.query_heads} * weights.head_dim, kv_width, kv_width}, 1);
  at::Tensor queries = turned(parts[0], weights.query_norm, weights, spec, rotary);
  if (rotary.query_scale.defined()) queries = queries * rotary.query_scale;
  const at::Tensor heads =
      attend(queries, turned(parts[1], weights.key_norm, weights, spec, rotary), clipped(parts[2], spec));
  return weights.output(weights.gate.weight.defined() ? heads * at::sigmoid(weights.gate(normed)) : heads);
}

at::Tensor mlp_features(const MlpWeights& weights, const ForwardSpec& spec, const at::Tensor& x) {
  const at::Tensor gate_up = weights.gate_up(x);
  if (!weights.is_gated()) return activated(gate_up, spec.activation, weights.curve);
  const std::vector<at::Tensor> halves = at::split(gate_up, weights.down.inputs(), 1);
  if (spec.bounded_gate) return bounded(halves[0], halves[1], *spec.bounded_gate);
  return activated(halves[0], spec.activation, weights.curve) * halves[1];
}

at::Tensor run_blocks(const LayerWeights& weights, const ForwardSpec& spec, const at::Tensor& hidden,
                      const std::function<at::Tensor(const at::Tensor&)>& mix, at::Tensor* mlp_features) {
  const auto plus_block = [&](const at::Tensor& residual, const at::Tensor& block, const NormWeights& post_norm) {
    return at::add(residual, norm_if_any(block, post_norm, spec), spec.residual_multiplier);
  };
  const at::Tensor normed = attention_input(weights, spec, hidden);
  const at::Tensor between = plus_block(hidden, mix(normed), weights.attention_post_norm);
  const at::Tensor& mlp_reads = spec.parallel ? (weights.mlp_norm.weight.defined() ? hidden : normed) : between;
  const at::Tensor mlp_input = norm_if_any(mlp_reads, weights.mlp_norm, spec);
  if (weights.experts) {
    return plus_block(between, run_experts(*weights.experts, spec, mlp_input), weights.mlp_post_norm);
  }
  const at::Tensor features = qcqa::mlp_features(weights.mlp, spec, mlp_input);
  if (mlp_features != nullptr) *mlp_features = features;
  return plus_block(between, weights.mlp.down(features), weights.mlp_post_norm);
}

at::Tensor run_layer(const LayerWeights& weights, const ForwardSpec& spec, const RotaryTable::Rows& rotary,
                     const Attend& attend, const at::Tensor& hidden, at::Tensor* mlp_features) {
  const auto mix = [&](const at::Tensor& normed) { return run_attention(weights, spec, rotary, attend, normed); };
  return run_blocks(weights, spec, hidden, mix, mlp_features);
}

}  // namespace qcqa
