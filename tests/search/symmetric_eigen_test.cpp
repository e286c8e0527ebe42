#include "search/bound/symmetric_eigen.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "search/search_instances.hpp"

namespace qcqa {
namespace {

using Matrix = std::vector<double>;

Matrix random_symmetric(Rng& rng, std::size_t n) {
  Matrix a(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j <= i; ++j) a[i * n + j] = a[j * n + i] = 2 * test::uniform(rng) - 1;
  }
  return a;
}

/// A v = lambda v, and the vectors are orthonormal.
void expect_eigen(std::size_t n, const Matrix& a, double scale) {
  SymmetricEigen eigen;
  ASSERT_TRUE(eigen.solve(n, a));
  const auto v = eigen.vectors();
  for (std::size_t k = 0; k < n; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      double product = 0;
      for (std::size_t j = 0; j < n; ++j) product += a[i * n + j] * v[k * n + j];
      ASSERT_NEAR(product, eigen.values()[k] * v[k * n + i], 1e-13 * scale * static_cast<double>(n));
    }
    for (std::size_t l = 0; l <= k; ++l) {
      double product = 0;
      for (std::size_t j = 0; j < n; ++j) product += v[k * n + j] * v[l * n + j];
      ASSERT_NEAR(product, k == l ? 1 : 0, 1e-13 * static_cast<double>(n));
    }
  }
}

TEST(SymmetricEigen, DecomposesRandomMatrices) {
  Rng rng(31, 0);
  for (std::size_t n = 1; n <= 40; ++n) expect_eigen(n, random_symmetric(rng, n), 1);
}

TEST(SymmetricEigen, DecomposesEqualAndTinyEigenvalues) {
  const std::size_t n = 8;
  expect_eigen(n, Matrix(n * n, 0), 1);
  expect_eigen(n, Matrix(n * n, 1), 1);  // one eigenvalue 8, seven 0
  Matrix graded(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) graded[i * n + j] = std::pow(10.0, -static_cast<double>(i + j));
  }
  expect_eigen(n, graded, 1);
}

TEST(SymmetricEigen, KnowsTheSecondDifference) {
  // Of -1, 2, -1: 2 - 2 cos(k pi / (n + 1)).
  const std::size_t n = 12;
  Matrix a(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    a[i * n + i] = 2;
    if (i > 0) a[i * n + i - 1] = a[(i - 1) * n + i] = -1;
  }
  SymmetricEigen eigen;
  ASSERT_TRUE(eigen.solve(n, a));
  const auto values = eigen.values();
  for (std::size_t k = 0; k < n; ++k) {
    EXPECT_NEAR(values[k], 2 - 2 * std::cos(static_cast<double>(k + 1) * std::numbers::pi / (n + 1)), 1e-14);
  }
}

}  // namespace
}  // namespace qcqa
