#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace qcqa {

/// Eigenvalues and eigenvectors of a small dense symmetric matrix. Includes nothing of Eigen, which is large.
class SymmetricEigen {
 public:
  /// @param matrix  row-major n x n, symmetric, finite
  /// @returns false when the iteration did not converge (never seen); then values() and vectors() mean nothing
  bool solve(std::size_t n, std::span<const double> matrix);

  /// Rising.
  [[nodiscard]] std::span<const double> values() const noexcept { return values_; }
  /// Row k is the unit eigenvector of values()[k].
  [[nodiscard]] std::span<const double> vectors() const noexcept { return vectors_; }

 private:
  std::vector<double> values_, vectors_;
};

}  // namespace qcqa
