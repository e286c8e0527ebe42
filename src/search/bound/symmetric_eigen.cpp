#include "search/bound/symmetric_eigen.hpp"

#include <Eigen/Eigenvalues>

namespace qcqa {

bool SymmetricEigen::solve(std::size_t n, std::span<const double> matrix) {
  if (n == 0) return true;
  const auto size = static_cast<Eigen::Index>(n);
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(
      Eigen::Map<const Eigen::MatrixXd>(matrix.data(), size, size));
  values_.assign(solver.eigenvalues().begin(), solver.eigenvalues().end());
  // Columns are stored one after the other.
  vectors_.assign(solver.eigenvectors().data(), solver.eigenvectors().data() + n * n);
  return solver.info() == Eigen::Success;
}

}  // namespace qcqa
