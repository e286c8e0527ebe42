#pragma once

#include <ATen/core/Tensor.h>

#include "model/attention_weights.hpp"

namespace qcqa {

/// What a family's attention allows to be changed between keys and queries without changing the model.
struct KeyFreedom {
  int rotary_dim = 0;      ///< dimensions [0, rotary_dim) are planes (i, i + rotary_dim / 2): a complex number each. The
                           ///< others are not rotated: any invertible matrix
  bool head_norm = false;  ///< keys are normalised head by head: a positive factor per head, no more
};

/// Inner products of the rows of heads under the second moment C of the attention input (identity when there is none),
/// and how much each row matters: what the subspace and aligned merges, and their costs, need of a layer's weights.
///
/// n KV heads, d = head_dim, r = d - rotary_dim.
struct HeadBlocks {
  int heads = 0, head_dim = 0, planes = 0;
  at::Tensor value;          ///< (n d, n d): V_i C V_j^T
  at::Tensor value_weight;   ///< (n, d, d): sum over the query heads of i of O_q^T O_q
  at::Tensor plane;          ///< (planes, n, n) complex: k_i C k_j^H, where k = row p + i * row (p + planes)
  at::Tensor plane_weight;   ///< (planes, n): energy of the queries' plane, sum over query heads of q C q^H
  at::Tensor rest;           ///< (n r, n r): as `value` for the key rows that are not rotated
  at::Tensor rest_weight;    ///< (n, r, r): sum over query heads of Q_q C Q_q^T
};

/// @param second_moment  (inputs, inputs) mean of x x^T over tokens, x the input of the attention (with a 1 below it where
///                       there are biases); undefined: the identity
[[nodiscard]] HeadBlocks compute_head_blocks(const AttentionWeights& weights, const KeyFreedom& freedom,
                                             const at::Tensor& second_moment);

/// Rows that several heads share, and how each head's own rows follow from them: Y_i ~ coefficients[i] * shared, with
/// shared = combination * (Y_1; Y_2; ...).
struct SharedRows {
  at::Tensor combination;   ///< (d, m d)
  at::Tensor coefficients;  ///< (m, d, d)
  double error = 0;         ///< sum over heads of |L_i^T (Y_i - coefficients[i] shared) C^(1/2)|^2, weight_i = L_i L_i^T
};

/// The best shared rows of m heads: the top-d right singular space of the stacked L_i^T Y_i C^(1/2), from inner products.
/// (design: Mathematics, "Best shared V for a group"; Eckart & Young 1936.) Rows are orthogonal under C and as long as the
/// heads' rows are on average.
/// @param gram    (m d, m d): Y_i C Y_j^T
/// @param weight  (m, d, d), symmetric, positive semidefinite
[[nodiscard]] SharedRows best_shared_rows(const at::Tensor& gram, const at::Tensor& weight);

/// The error alone.
[[nodiscard]] double shared_rows_error(const at::Tensor& gram, const at::Tensor& weight);

/// One complex row per rotary plane that several heads share: k_i ~ coefficients[p, i] * shared_p.
struct SharedPlanes {
  at::Tensor combination;   ///< (planes, m) complex: shared_p = sum_i combination[p, i] k_i
  at::Tensor coefficients;  ///< (planes, m) complex
  double error = 0;         ///< sum over planes and heads of weight * |k_i - coefficients shared|_C^2
};

/// The best: the leading eigenvector of the weighted Gram matrix of each plane.
/// @param gram  (planes, m, m) complex  @param weight  (planes, m)
[[nodiscard]] SharedPlanes best_shared_planes(const at::Tensor& gram, const at::Tensor& weight);
[[nodiscard]] double shared_planes_error(const at::Tensor& gram, const at::Tensor& weight);

/// The part of `blocks` that belongs to some heads, for the functions above.
[[nodiscard]] at::Tensor select_blocks(const at::Tensor& gram, at::ArrayRef<std::int64_t> members, std::int64_t rows_per_head);
[[nodiscard]] at::Tensor select_planes(const at::Tensor& gram, at::ArrayRef<std::int64_t> members);

}  // namespace qcqa
