#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace qcqa {

/// Eigenvalues and eigenvectors of a small dense symmetric matrix: Householder tridiagonalisation, then the implicit QL
/// iteration with Wilkinson's shift (Golub, Van Loan, "Matrix Computations", 4th ed., sections 8.3.1 and 8.3.3). Keeps
/// its memory from call to call; both stages work on rows, which the compiler vectorises.
///
/// Why our own: the search room has no linear-algebra library, and one call at 40 heads takes a tenth of a millisecond.
class SymmetricEigen {
 public:
  enum class Want { values, vectors };

  /// @param matrix  row-major n x n, symmetric, finite
  /// @returns false when the iteration did not converge (never seen); then values() and vectors() mean nothing
  bool solve(std::size_t n, std::span<const double> matrix, Want want);

  /// In no particular order.
  [[nodiscard]] std::span<const double> values() const noexcept { return values_; }
  /// Row k is the unit eigenvector of values()[k].
  [[nodiscard]] std::span<const double> vectors() const noexcept { return vectors_; }

 private:
  std::vector<double> a_;             // the matrix, overwritten
  std::vector<double> values_, off_;  // the tridiagonal matrix, in the end its eigenvalues
  std::vector<double> vectors_;
  std::vector<double> reflectors_, beta_, scratch_;
};

}  // namespace qcqa
