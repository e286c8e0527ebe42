#include "fitness/shared_heads.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace qcqa {
namespace {

/// Eigenvalues at most this times the largest are rounding.
constexpr double kRounding = 1e-13;
constexpr double kTiny = 1e-300;
/// Turns of the alignment; it stops when a turn gains less than kGain.
constexpr int kTurns = 50;
constexpr double kGain = 1e-6;

double sum_of(const at::Tensor& values) { return values.sum().item<double>(); }

/// Symmetric square roots of a batch of positive semidefinite matrices.
at::Tensor square_roots(const at::Tensor& matrices) {
  const auto [values, vectors] = at::linalg_eigh(matrices);
  return at::matmul(vectors * values.clamp_min(0).sqrt().unsqueeze(-2), vectors.transpose(-1, -2));
}

/// The blocks of a (m d, m d) matrix multiplied by their head's root on both sides.
at::Tensor weighted_rows(const at::Tensor& gram, const at::Tensor& roots) {
  const std::int64_t m = roots.size(0);
  const std::int64_t d = roots.size(1);
  const auto from_left = [&](const at::Tensor& matrix) {
    return at::matmul(roots, matrix.contiguous().view({m, d, m * d})).view({m * d, m * d});
  };
  return from_left(from_left(gram).t());
}

at::Tensor weighted_planes(const at::Tensor& gram, const at::Tensor& roots) {
  return gram * (roots.unsqueeze(2) * roots.unsqueeze(1));
}

/// Orthogonal factor of the polar decomposition.
at::Tensor nearest_rotation(const at::Tensor& matrix) {
  const auto [u, s, vh] = at::linalg_svd(matrix, false);
  return at::mm(u, vh);
}

at::Tensor unit(const at::Tensor& numbers) {
  const at::Tensor length = at::abs(numbers);
  return at::where(length > kTiny, numbers / length.clamp_min(kTiny), at::ones_like(numbers));
}

/// Square length of `combination` times the rows, and the heads' mean square length.
double square_length(const at::Tensor& combination, const at::Tensor& gram) {
  return sum_of(at::mm(combination, gram) * combination);
}

}  // namespace

SharedRows best_shared_rows(const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t m = weight.size(0);
  const std::int64_t d = weight.size(1);
  if (d == 0) return {gram.new_zeros({0, 0}), gram.new_zeros({m, 0, 0})};
  const at::Tensor roots = square_roots(weight);
  const auto [values, vectors] = at::linalg_eigh(weighted_rows(gram, roots));  // ascending
  const at::Tensor top = values.narrow(0, m * d - d, d);
  const at::Tensor scale = at::where(top > kRounding * values[-1], top.clamp_min(kTiny).rsqrt(), at::zeros_like(top));
  // The rows W Lambda^(-1/2) of the singular space, as combinations of the heads' rows.
  const at::Tensor scaled = vectors.narrow(1, m * d - d, d) * scale;
  const at::Tensor combined = at::matmul(roots, scaled.contiguous().view({m, d, d})).view({m * d, d});
  // Orthonormal rows would be of another magnitude than the weights around them.
  const double length = std::sqrt(std::max(gram.diagonal().mean().item<double>(), kTiny));
  return {.combination = combined.t().contiguous() * length,
          .coefficients = at::mm(gram, combined).view({m, d, d}) / length};
}

SharedPlanes best_shared_planes(const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t m = weight.size(1);
  // A plane that no query looks at still gets a key.
  const at::Tensor roots = (weight + (1e-12 * weight.mean() + kTiny)).sqrt();
  const auto [values, vectors] = at::linalg_eigh(weighted_planes(gram, roots));
  const at::Tensor lead = vectors.select(2, m - 1);
  // The row sum_i conj(lead_i) root_i k_i has square length lambda.
  const at::Tensor member_square = at::real(gram.diagonal(0, 1, 2)).mean(1);
  const at::Tensor length =
      (member_square.clamp_min(kTiny) / values.select(1, m - 1).clamp_min(kTiny)).sqrt().unsqueeze(1);
  return {.combination = lead.conj() * (roots * length), .coefficients = lead / (roots * length)};
}

SharedRows best_shared_numbers(const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t m = weight.size(0);
  const std::int64_t d = weight.size(1);
  const at::Tensor own = gram.view({m, d, m, d}).diagonal(0, 1, 3).permute({2, 0, 1}).contiguous();  // d, m, m
  const SharedPlanes shared = best_shared_planes(own, weight.diagonal(0, 1, 2).t().contiguous());
  const auto diagonals = [](const at::Tensor& numbers) { return at::diag_embed(numbers.t()); };  // (d, m) -> (m, d, d)
  return {.combination = diagonals(shared.combination).transpose(0, 1).reshape({d, m * d}).contiguous(),
          .coefficients = diagonals(shared.coefficients).contiguous()};
}

SharedRows aligned_rows(const at::Tensor& gram, std::int64_t heads) {
  const std::int64_t d = gram.size(0) / heads;
  if (d == 0) return {gram.new_zeros({0, 0}), gram.new_zeros({heads, 0, 0})};
  const at::Tensor blocks = gram.view({heads, d, heads, d});
  at::Tensor rotations = at::eye(d, gram.options()).repeat({heads, 1, 1});
  const auto combination = [&] {
    return (rotations / static_cast<double>(heads)).transpose(0, 1).reshape({d, heads * d});
  };
  // First all to the first head, then each to the mean of the others.
  for (std::int64_t i = 1; i < heads; ++i)
    rotations.select(0, i).copy_(nearest_rotation(blocks.select(0, 0).select(1, i)));
  double before = square_length(combination(), gram);
  for (int turn = 0; heads > 1 && turn < kTurns; ++turn) {
    for (std::int64_t i = 0; i < heads; ++i) {
      // To the others: a head's part of the mean would hold it where it is.
      const at::Tensor own =
          at::mm(rotations.select(0, i) / static_cast<double>(heads), blocks.select(0, i).select(1, i));
      const at::Tensor towards = at::mm(combination(), gram.narrow(1, i * d, d)) - own;
      rotations.select(0, i).copy_(nearest_rotation(towards));
    }
    const double after = square_length(combination(), gram);
    if (after - before <= kGain * before) break;
    before = after;
  }
  const double mean_square = gram.diagonal().sum().item<double>() / static_cast<double>(heads);
  const double length = std::sqrt(mean_square / std::max(square_length(combination(), gram), kTiny));
  return {.combination = combination() * length, .coefficients = rotations.transpose(1, 2).contiguous()};
}

SharedPlanes aligned_planes(const at::Tensor& gram) {
  const std::int64_t m = gram.size(1);
  if (gram.size(0) == 0) return {gram.new_zeros({0, m}), gram.new_zeros({0, m})};
  // The phases of the leading eigenvector are a good start.
  at::Tensor phases = unit(std::get<1>(at::linalg_eigh(gram)).select(2, m - 1)).conj().resolve_conj().contiguous();
  for (int turn = 0; turn < kTurns; ++turn) {
    for (std::int64_t i = 0; i < m; ++i) {
      const at::Tensor products = phases.conj() * gram.select(1, i);
      const at::Tensor towards = products.sum(1) - products.select(1, i);
      phases.select(1, i).copy_(unit(towards).conj());
    }
  }
  const at::Tensor square =
      at::real(at::matmul(at::matmul(phases.unsqueeze(1), gram), phases.conj().unsqueeze(2))).view({-1, 1});
  const at::Tensor member_square = at::real(gram.diagonal(0, 1, 2)).mean(1, true);
  const at::Tensor length = (member_square / square.clamp_min(kTiny)).sqrt();
  return {.combination = phases * length, .coefficients = phases.conj().resolve_conj()};
}

SharedRows pooled_rows(const at::Tensor& shares, std::int64_t rows) {
  const at::Tensor unity = at::eye(rows, shares.options());
  return {.combination = at::kron(shares.unsqueeze(0), unity).contiguous(),
          .coefficients = unity.repeat({shares.size(0), 1, 1})};
}

SharedPlanes pooled_planes(const at::Tensor& shares, std::int64_t planes) {
  const at::Tensor all = shares.to(at::kComplexDouble).repeat({planes, 1});
  return {.combination = all, .coefficients = at::ones_like(all)};
}

double error_of(const SharedRows& shared, const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t m = weight.size(0);
  const std::int64_t d = weight.size(1);
  const at::Tensor cross = at::mm(shared.combination, gram);        // d, m d
  const at::Tensor square = at::mm(cross, shared.combination.t());  // d, d
  double error = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    const at::Tensor b = shared.coefficients[i];
    const at::Tensor mixed = at::mm(b, cross.narrow(1, i * d, d));
    const at::Tensor rest =
        gram.narrow(0, i * d, d).narrow(1, i * d, d) - mixed - mixed.t() + at::mm(at::mm(b, square), b.t());
    error += sum_of(rest * weight[i]);
  }
  return std::max(error, 0.0);
}

double error_of(const SharedPlanes& shared, const at::Tensor& gram, const at::Tensor& weight) {
  const at::Tensor cross = at::matmul(shared.combination.unsqueeze(1), gram).squeeze(1);  // <shared, k_i>
  const at::Tensor square = at::real((cross * shared.combination.conj()).sum(1, true));
  const at::Tensor own = at::real(gram.diagonal(0, 1, 2));
  const at::Tensor rest =
      own - 2 * at::real(shared.coefficients * cross) + at::abs(shared.coefficients).square() * square;
  return std::max(sum_of(rest * weight), 0.0);
}

double least_error_of_rows(const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t d = weight.size(1);
  if (d == 0 || weight.size(0) == 1) return 0;
  const at::Tensor values = at::linalg_eigvalsh(weighted_rows(gram, square_roots(weight)));
  return sum_of(values.narrow(0, 0, values.size(0) - d).clamp_min(0));
}

double least_error_of_planes(const at::Tensor& gram, const at::Tensor& weight) {
  const std::int64_t m = weight.size(1);
  if (m == 1 || gram.size(0) == 0) return 0;
  return sum_of(at::linalg_eigvalsh(weighted_planes(gram, weight.sqrt())).narrow(1, 0, m - 1).clamp_min(0));
}

}  // namespace qcqa
