#pragma once

#include <ATen/core/Tensor.h>

#include "fitness/head_blocks.hpp"
#include "qcqa/fitness/group_cost.hpp"

namespace qcqa {

/// Rows that several heads share, and how each head's own rows follow from them: Y_i ~ coefficients[i] * shared, with
/// shared = combination * (Y_1; Y_2; ...).
struct SharedRows {
  at::Tensor combination;   ///< (d, m d)
  at::Tensor coefficients;  ///< (m, d, d)
};

/// One complex row per rotary plane that several heads share: k_i ~ coefficients[p, i] * shared_p, with
/// shared_p = sum over i of combination[p, i] k_i.
struct SharedPlanes {
  at::Tensor combination;   ///< (planes, m) complex
  at::Tensor coefficients;  ///< (planes, m) complex
};

/// The best shared rows of m heads: the top-d right singular space of the stacked L_i^T Y_i C^(1/2) with
/// weight_i = L_i L_i^T, from inner products alone (Eckart & Young 1936). They are orthogonal under C and as long as
/// the heads' rows are on average.
/// @param gram    (m d, m d): Y_i C Y_j^T
/// @param weight  (m, d, d), positive semidefinite
[[nodiscard]] SharedRows best_shared_rows(const at::Tensor& gram, const at::Tensor& weight);

/// Shared rows of which each stands for the same row of every head, times a number: what gates leave free. Best for
/// each row alone, by the diagonals of the weights.
/// @param gram, weight  as above
[[nodiscard]] SharedRows best_shared_numbers(const at::Tensor& gram, const at::Tensor& weight);

/// The best shared planes: the leading eigenvector of each plane's weighted Gram matrix.
/// @param gram  (planes, m, m) complex, or real for rows of one number  @param weight  (planes, m)
[[nodiscard]] SharedPlanes best_shared_planes(const at::Tensor& gram, const at::Tensor& weight);

/// Mean of the heads after each was turned to agree best with the others (generalised Procrustes analysis, Gower 1975:
/// by turns, to convergence), as long as the heads' rows are on average.
[[nodiscard]] SharedRows aligned_rows(const at::Tensor& gram, std::int64_t heads);
[[nodiscard]] SharedPlanes aligned_planes(const at::Tensor& gram);

/// sum over i of shares[i] * Y_i, every head read as it is. @param shares  (m)
[[nodiscard]] SharedRows pooled_rows(const at::Tensor& shares, std::int64_t rows);
[[nodiscard]] SharedPlanes pooled_planes(const at::Tensor& shares, std::int64_t planes);

/// sum over heads of |L_i^T (Y_i - coefficients[i] shared) C^(1/2)|^2.
[[nodiscard]] double error_of(const SharedRows& shared, const at::Tensor& gram, const at::Tensor& weight);
[[nodiscard]] double error_of(const SharedPlanes& shared, const at::Tensor& gram, const at::Tensor& weight);

/// The least there can be: error_of(best_shared_...) without the sharing.
[[nodiscard]] double least_error_of_rows(const at::Tensor& gram, const at::Tensor& weight);
[[nodiscard]] double least_error_of_planes(const at::Tensor& gram, const at::Tensor& weight);

}  // namespace qcqa
