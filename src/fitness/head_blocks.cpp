#include "fitness/head_blocks.hpp"

#include <ATen/ATen.h>

#include "model/attention_facts.hpp"

namespace qcqa {
namespace {

at::Tensor times_moment(const at::Tensor& rows, const at::Tensor& second_moment) {
  return second_moment.defined() ? at::matmul(rows, second_moment) : rows;
}

at::Tensor inner_products(const at::Tensor& heads, const at::Tensor& second_moment) {
  const at::Tensor rows = heads.reshape({-1, heads.size(2)});
  return at::mm(times_moment(rows, second_moment), rows.t());
}

/// (query heads, ...) -> (KV heads, ...), summed over the query heads of each.
at::Tensor sum_over_queries(const at::Tensor& per_query, std::int64_t kv_heads) {
  return per_query.unflatten(0, at::IntArrayRef({kv_heads, per_query.size(0) / kv_heads})).sum(1);
}

/// sum over heads of |L_i^T Y_i C^(1/2)|^2.
double energy(const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t n = weight.size(0);
  const std::int64_t rows = weight.size(1);
  if (rows == 0) return 0;
  const at::Tensor own = gram.view({n, rows, n, rows}).diagonal(0, 0, 2).permute({2, 0, 1});
  return (own * weight).sum().item<double>();
}

}  // namespace

std::vector<KeyFreedom> key_freedoms(const ModelConfig& config) {
  const AttentionDescription& attention = config.architecture().attention;
  KeyFreedom freedom{.neighbours = attention.rotary && attention.rotary->neighbours,
                     .fixed_values = has_gates(config.architecture()),
                     .clipped = config.value(attention.clip) > 0};
  if (has_head_norm(config)) {
    const bool together = attention.head_norm.scope == HeadNormScope::projection;
    freedom.scale = together ? KeyScale::none : KeyScale::length;
  }
  std::vector<KeyFreedom> freedoms;
  const std::vector<AttentionFacts> facts = attention_facts(config);
  for (const int layer : layers_with_heads(config)) {
    freedom.rotary_dim = facts[static_cast<std::size_t>(layer)].rotary_dim;
    freedoms.push_back(freedom);
  }
  return freedoms;
}

std::pair<at::Tensor, at::Tensor> planes_of(const at::Tensor& head, const KeyFreedom& freedom) {
  const std::int64_t planes = freedom.rotary_dim / 2;
  if (!freedom.neighbours) return {head.narrow(-2, 0, planes), head.narrow(-2, planes, planes)};
  return {head.slice(-2, 0, 2 * planes, 2), head.slice(-2, 1, 2 * planes, 2)};
}

at::Tensor complex_planes(const at::Tensor& head, const KeyFreedom& freedom) {
  const auto [a, b] = planes_of(head, freedom);
  return at::complex(a.contiguous(), b.contiguous());
}

HeadBlocks compute_head_blocks(const AttentionWeights& weights, const KeyFreedom& freedom,
                               const at::Tensor& second_moment) {
  const std::int64_t n = weights.kv_heads();
  const std::int64_t planes = freedom.rotary_dim / 2;
  const std::int64_t rest = weights.head_dim() - freedom.rotary_dim;
  HeadBlocks blocks;
  blocks.heads = weights.kv_heads();
  blocks.head_dim = weights.head_dim();
  blocks.planes = static_cast<int>(planes);
  blocks.key_scale = freedom.scale;
  blocks.fixed_values = freedom.fixed_values;
  blocks.value = inner_products(weights.value, second_moment);
  blocks.value_weight = sum_over_queries(at::matmul(weights.output.transpose(1, 2), weights.output), n);

  const at::Tensor keys = complex_planes(weights.key, freedom).transpose(0, 1);  // planes, n, inputs
  const at::Tensor queries = complex_planes(weights.query, freedom);             // n_q, planes, inputs
  const at::Tensor moment = second_moment.defined() ? second_moment.to(at::kComplexDouble) : second_moment;
  blocks.plane = at::matmul(times_moment(keys, moment), keys.conj().transpose(1, 2));
  blocks.plane_weight =
      sum_over_queries(at::real(times_moment(queries, moment) * queries.conj()).sum(2), n).t().contiguous();

  const at::Tensor free_keys = weights.key.narrow(1, freedom.rotary_dim, rest);
  const at::Tensor free_queries = weights.query.narrow(1, freedom.rotary_dim, rest);
  blocks.rest = inner_products(free_keys, second_moment);
  blocks.rest_weight =
      sum_over_queries(at::matmul(times_moment(free_queries, second_moment), free_queries.transpose(1, 2)), n);
  const double output = energy(blocks.value, blocks.value_weight);
  const double score = energy(blocks.rest, blocks.rest_weight) +
                       (at::real(blocks.plane.diagonal(0, 1, 2)) * blocks.plane_weight).sum().item<double>();
  blocks.score_to_output = score > 0 ? output / score : 0;
  return blocks;
}

at::Tensor select_heads(const at::Tensor& gram, const at::Tensor& index, std::int64_t rows) {
  const std::int64_t size = index.size(0) * rows;
  if (size == 0) return gram.new_zeros({0, 0});
  const std::int64_t n = gram.size(0) / rows;
  return gram.view({n, rows, n, rows}).index_select(0, index).index_select(2, index).reshape({size, size});
}

}  // namespace qcqa
