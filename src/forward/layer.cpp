#include "forward/layer.hpp"

#include <ATen/ATen.h>

#include "forward/cpu_kernels.hpp"

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
      return at::relu(x).square_();
  }
  return x;
}

at::Tensor silu_gated(const at::Tensor& gate_up, std::int64_t inner) {
  at::Tensor out = at::empty({gate_up.size(0), inner});
  const float* const source = gate_up.data_ptr<float>();
  float* const target = out.data_ptr<float>();
  const std::int64_t tokens = gate_up.size(0);
#pragma omp parallel for schedule(static)
  for (std::int64_t token = 0; token < tokens; ++token) {
    std::copy_n(source + token * 2 * inner, inner, target + token * inner);
    cpu::silu_times(target + token * inner, source + token * 2 * inner + inner, inner);
  }
  return out;
}

at::Tensor run_mlp(const LayerWeights& weights, const ForwardSpec& spec, const Runtime& runtime, const at::Tensor& x) {
  const at::Tensor gate_up = weights.gate_up(x);
  if (!weights.gated) return weights.down(activated(gate_up, spec.activation));
  const std::int64_t inner = weights.down.inputs();
  if (runtime.own_kernels && spec.activation == Activation::silu) return weights.down(silu_gated(gate_up, inner));
  at::Tensor inside = activated(gate_up.narrow(1, 0, inner), spec.activation);
  return weights.down(inside.mul_(gate_up.narrow(1, inner, inner)).contiguous());
}

void normalise_heads(at::Tensor rows, std::int64_t head_dim, const NormWeights& norm, const ForwardSpec& spec,
                     const Runtime& runtime) {
  const at::Tensor heads = rows.reshape({rows.size(0), -1, head_dim}).contiguous();
  rows.copy_(apply_norm(heads, norm, spec, runtime).view({rows.size(0), -1}));
}

at::Tensor run_attention(const LayerWeights& weights, const ForwardSpec& spec, const RotaryTable::Rows& rotary,
                         const Attend& attend, const Runtime& runtime, const at::Tensor& x) {
  const at::Tensor qkv = weights.query_key_value(x);
  const std::int64_t query_width = std::int64_t{weights.query_heads} * weights.head_dim;
  const std::int64_t kv_width = std::int64_t{weights.kv_heads} * weights.head_dim;
  const at::Tensor queries = qkv.narrow(1, 0, query_width);
  const at::Tensor keys = qkv.narrow(1, query_width, kv_width);
  if (weights.query_norm.weight.defined()) {
    normalise_heads(queries, weights.head_dim, weights.query_norm, spec, runtime);
    normalise_heads(keys, weights.head_dim, weights.key_norm, spec, runtime);
  }
  apply_rotary(qkv, weights.query_heads + weights.kv_heads, weights.head_dim, rotary, runtime);
  return weights.output(attend(queries, keys, qkv.narrow(1, query_width + kv_width, kv_width)));
}

}  // namespace

at::Tensor apply_norm(const at::Tensor& x, const NormWeights& norm, const ForwardSpec& spec, const Runtime& runtime) {
  const std::int64_t size = x.size(-1);
  if (spec.names->norm_kind == NormKind::layer) {
    return at::layer_norm(x.to(at::kFloat), {size}, norm.weight, norm.bias, spec.norm_epsilon).to(x.scalar_type());
  }
  if (!runtime.own_kernels) {
    const at::Tensor wide = x.to(at::kFloat);
    return (wide * at::rsqrt(wide.square().mean(-1, true) + spec.norm_epsilon) * norm.weight).to(x.scalar_type());
  }
  at::Tensor out = at::empty(x.sizes());
  const float* const source = x.data_ptr<float>();
  const float* const weight = norm.weight.data_ptr<float>();
  float* const target = out.data_ptr<float>();
  const std::int64_t rows = x.numel() / size;
  const auto epsilon = static_cast<float>(spec.norm_epsilon);
#pragma omp parallel for schedule(static)
  for (std::int64_t row = 0; row < rows; ++row)
    cpu::rms_norm(source + row * size, weight, epsilon, size, target + row * size);
  return out;
}

void run_layer(const LayerWeights& weights, const ForwardSpec& spec, const RotaryTable::Rows& rotary,
               const Attend& attend, const Runtime& runtime, at::Tensor hidden) {
  const auto add_to_residual = [&](at::Tensor block, const NormWeights& post_norm) {
    if (post_norm.weight.defined()) block = apply_norm(block, post_norm, spec, runtime);
    hidden.add_(block, spec.residual_multiplier);
  };
  const at::Tensor normed = apply_norm(hidden, weights.attention_norm, spec, runtime);
  const at::Tensor attention = run_attention(weights, spec, rotary, attend, runtime, normed);
  if (!spec.parallel) add_to_residual(attention, weights.attention_post_norm);
  const at::Tensor mlp_input =
      weights.mlp_norm.weight.defined() ? apply_norm(hidden, weights.mlp_norm, spec, runtime) : normed;
  const at::Tensor mlp = run_mlp(weights, spec, runtime, mlp_input);
  if (spec.parallel) add_to_residual(attention, weights.attention_post_norm);
  add_to_residual(mlp, weights.mlp_post_norm);
}

}  // namespace qcqa
