#include "fitness/head_blocks.hpp"

#include <ATen/ATen.h>

#include <vector>

namespace qcqa {
namespace {

using at::indexing::Slice;

/// Eigenvalues at most this times the largest are rounding.
constexpr double kRounding = 1e-13;

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

/// (heads, planes, inputs) complex.
at::Tensor complex_planes(const at::Tensor& heads, std::int64_t planes) {
  return at::complex(heads.narrow(1, 0, planes).contiguous(), heads.narrow(1, planes, planes).contiguous());
}

/// Symmetric square roots of a batch of positive semidefinite matrices.
at::Tensor square_roots(const at::Tensor& matrices) {
  const auto [values, vectors] = at::linalg_eigh(matrices);
  return at::matmul(vectors * values.clamp_min(0).sqrt().unsqueeze(-2), vectors.transpose(-1, -2));
}

/// Rows of each head of a (m d, m d) Gram matrix multiplied by its factor, on both sides.
at::Tensor weighted_gram(const at::Tensor& gram, const at::Tensor& roots) {
  const std::int64_t m = roots.size(0);
  const std::int64_t d = roots.size(1);
  const at::Tensor left = at::matmul(roots, gram.view({m, d, m * d})).view({m * d, m * d});
  return at::matmul(roots, left.t().contiguous().view({m, d, m * d})).view({m * d, m * d});
}

/// gram weighted on both sides: w_i gram_ij w_j.
at::Tensor weighted_planes(const at::Tensor& gram, const at::Tensor& roots) {
  return gram * (roots.unsqueeze(2) * roots.unsqueeze(1));
}

double sum_of(const at::Tensor& values) { return values.sum().item<double>(); }

}  // namespace

HeadBlocks compute_head_blocks(const AttentionWeights& weights, const KeyFreedom& freedom,
                               const at::Tensor& second_moment) {
  const std::int64_t n = weights.kv_heads();
  const std::int64_t planes = freedom.rotary_dim / 2;
  const std::int64_t rest = weights.head_dim() - freedom.rotary_dim;
  HeadBlocks blocks{.heads = weights.kv_heads(), .head_dim = weights.head_dim(), .planes = static_cast<int>(planes)};
  blocks.value = inner_products(weights.value, second_moment);
  blocks.value_weight = sum_over_queries(at::matmul(weights.output.transpose(1, 2), weights.output), n);

  const at::Tensor keys = complex_planes(weights.key, planes).transpose(0, 1);        // planes, n, inputs
  const at::Tensor queries = complex_planes(weights.query, planes);                   // n_q, planes, inputs
  const at::Tensor moment = second_moment.defined() ? second_moment.to(at::kComplexDouble) : second_moment;
  blocks.plane = at::matmul(times_moment(keys, moment), keys.conj().transpose(1, 2));
  blocks.plane_weight =
      sum_over_queries(at::real(times_moment(queries, moment) * queries.conj()).sum(2), n).t().contiguous();

  const at::Tensor free_keys = weights.key.narrow(1, freedom.rotary_dim, rest);
  const at::Tensor free_queries = weights.query.narrow(1, freedom.rotary_dim, rest);
  blocks.rest = inner_products(free_keys, second_moment);
  blocks.rest_weight = sum_over_queries(
      at::matmul(times_moment(free_queries, second_moment), free_queries.transpose(1, 2)), n);
  return blocks;
}

SharedRows best_shared_rows(const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t m = weight.size(0);
  const std::int64_t d = weight.size(1);
  const at::Tensor roots = square_roots(weight);
  const auto [values, vectors] = at::linalg_eigh(weighted_gram(gram, roots));  // ascending
  const at::Tensor top = values.narrow(0, m * d - d, d);
  const at::Tensor scale = at::where(top > kRounding * values[-1], top.clamp_min(1e-300).rsqrt(), at::zeros_like(top));
  // W Lambda^(-1/2), then L W Lambda^(-1/2): rows of `shared` are its transpose times the heads' rows.
  const at::Tensor scaled = vectors.narrow(1, m * d - d, d) * scale;
  const at::Tensor combined = at::matmul(roots, scaled.view({m, d, d})).view({m * d, d});
  SharedRows rows{.combination = combined.t().contiguous(),
                  .coefficients = at::mm(gram, combined).view({m, d, d}),
                  .error = sum_of(values.narrow(0, 0, m * d - d).clamp_min(0))};
  // Orthonormal rows would be of another magnitude than the weights around them.
  const double mean_square = gram.diagonal().mean().item<double>();
  const double length = std::sqrt(std::max(mean_square, 1e-300));
  rows.combination = rows.combination * length;
  rows.coefficients = rows.coefficients / length;
  return rows;
}

double shared_rows_error(const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t d = weight.size(1);
  if (d == 0 || weight.size(0) == 1) return 0;
  const at::Tensor values = at::linalg_eigvalsh(weighted_gram(gram, square_roots(weight)));
  return sum_of(values.narrow(0, 0, values.size(0) - d).clamp_min(0));
}

SharedPlanes best_shared_planes(const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t m = weight.size(1);
  // A plane that no query looks at is still given its best key.
  const at::Tensor roots = (weight + 1e-12 * weight.mean() + 1e-300).sqrt();
  const auto [values, vectors] = at::linalg_eigh(weighted_planes(gram, roots));
  const at::Tensor lead = vectors.select(2, m - 1);  // planes, m
  // Under C the shared row sum_i conj(lead_i) w_i k_i has the square length lambda; make it the members' mean.
  const at::Tensor member_square = at::real(gram.diagonal(0, 1, 2)).mean(1);
  const at::Tensor length =
      (member_square.clamp_min(1e-300) / values.select(1, m - 1).clamp_min(1e-300)).sqrt().unsqueeze(1);
  return {.combination = lead.conj() * (roots * length),
          .coefficients = lead / (roots * length),
          .error = sum_of(values.narrow(1, 0, m - 1).clamp_min(0))};
}

double shared_planes_error(const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t m = weight.size(1);
  if (m == 1 || gram.size(0) == 0) return 0;
  return sum_of(at::linalg_eigvalsh(weighted_planes(gram, weight.sqrt())).narrow(1, 0, m - 1).clamp_min(0));
}

at::Tensor select_blocks(const at::Tensor& gram, at::ArrayRef<std::int64_t> members, std::int64_t rows_per_head) {
  const at::Tensor index = at::tensor(members);
  const std::int64_t n = rows_per_head == 0 ? 0 : gram.size(0) / rows_per_head;
  const std::int64_t size = static_cast<std::int64_t>(members.size()) * rows_per_head;
  if (size == 0) return gram.new_zeros({0, 0});
  return gram.view({n, rows_per_head, n, rows_per_head}).index_select(0, index).index_select(2, index).reshape({size, size});
}

at::Tensor select_planes(const at::Tensor& gram, at::ArrayRef<std::int64_t> members) {
  const at::Tensor index = at::tensor(members);
  return gram.index_select(1, index).index_select(2, index);
}

}  // namespace qcqa
