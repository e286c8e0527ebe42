#include "search/symmetric_eigen.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/vector_clones.hpp"

namespace qcqa {
namespace {

constexpr int kMaxSweeps = 60;  // per eigenvalue; two are usual

void rotate_rows(double* x, double* y, std::size_t n, double c, double s) {
  for (std::size_t i = 0; i < n; ++i) {
    const double a = x[i], b = y[i];
    x[i] = c * a - s * b;
    y[i] = s * a + c * b;
  }
}

double dot(const double* x, const double* y, std::size_t n) {
  double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  std::size_t i = 0;
  for (; i + 4 <= n; i += 4) {
    s0 += x[i] * y[i];
    s1 += x[i + 1] * y[i + 1];
    s2 += x[i + 2] * y[i + 2];
    s3 += x[i + 3] * y[i + 3];
  }
  for (; i < n; ++i) s0 += x[i] * y[i];
  return (s0 + s1) + (s2 + s3);
}

// Column k below the diagonal becomes (alpha, 0, ..., 0) by the reflection I - beta v v^T on rows and columns k+1...
// Fills d, e (diagonal, below it), one reflector per row of `reflectors`, and beta.
QCQA_VECTOR_CLONES
void tridiagonalise(std::size_t n, double* a, double* d, double* e, double* reflectors, double* beta, double* p) {
  for (std::size_t k = 0; k + 2 < n; ++k) {
    const std::size_t m = n - k - 1;
    double* v = reflectors + k * n;
    std::copy_n(a + k * n + k + 1, m, v);  // symmetric: row k is column k
    const double tail = dot(v + 1, v + 1, m - 1);
    d[k] = a[k * n + k];
    beta[k] = 0;
    e[k] = v[0];
    if (tail == 0) continue;
    const double norm = std::sqrt(v[0] * v[0] + tail);
    const double alpha = v[0] > 0 ? -norm : norm;
    v[0] -= alpha;
    e[k] = alpha;
    beta[k] = 2 / (v[0] * v[0] + tail);
    double* block = a + (k + 1) * n + k + 1;
    for (std::size_t i = 0; i < m; ++i) p[i] = beta[k] * dot(block + i * n, v, m);
    const double half = 0.5 * beta[k] * dot(p, v, m);
    for (std::size_t i = 0; i < m; ++i) p[i] -= half * v[i];
    for (std::size_t i = 0; i < m; ++i) {
      double* r = block + i * n;
      const double vi = v[i], pi = p[i];
      for (std::size_t j = 0; j < m; ++j) r[j] -= vi * p[j] + pi * v[j];
    }
  }
  if (n >= 2) {
    d[n - 2] = a[(n - 2) * n + n - 2];
    e[n - 2] = a[(n - 2) * n + n - 1];
    beta[n - 2] = 0;
  }
  d[n - 1] = a[n * n - 1];
}

// Row i of `vectors` = column i of the product of the reflections.
QCQA_VECTOR_CLONES
void accumulate(std::size_t n, const double* reflectors, const double* beta, double* vectors) {
  std::fill_n(vectors, n * n, 0.0);
  for (std::size_t i = 0; i < n; ++i) vectors[i * n + i] = 1;
  for (std::size_t k = n - 1; k-- > 0;) {
    if (beta[k] == 0) continue;
    const std::size_t m = n - k - 1;
    const double* v = reflectors + k * n;
    for (std::size_t i = k + 1; i < n; ++i) {
      double* r = vectors + i * n + k + 1;
      const double f = beta[k] * dot(r, v, m);
      for (std::size_t j = 0; j < m; ++j) r[j] -= f * v[j];
    }
  }
}

// vectors may be null. Returns whether it converged.
QCQA_VECTOR_CLONES
bool implicit_ql(std::size_t n, double* d, double* e, double* vectors) {
  constexpr double kEps = std::numeric_limits<double>::epsilon();
  for (std::size_t l = 0; l < n; ++l) {
    for (int sweep = 0;; ++sweep) {
      std::size_t m = l;
      while (m + 1 < n && std::abs(e[m]) > kEps * (std::abs(d[m]) + std::abs(d[m + 1]))) ++m;
      if (m == l) break;
      if (sweep == kMaxSweeps) return false;
      // Wilkinson's shift, then a bulge is chased from m up to l.
      const double delta = (d[l + 1] - d[l]) / (2 * e[l]);
      const double root = std::sqrt(delta * delta + 1);
      double g = d[m] - d[l] + e[l] / (delta + (delta >= 0 ? root : -root));
      double s = 1, c = 1, p = 0;
      std::size_t i = m;
      bool deflated = false;
      while (i-- > l) {
        double f = s * e[i];
        const double b = c * e[i];
        const double r = std::sqrt(f * f + g * g);
        e[i + 1] = r;
        if (r == 0) {
          d[i + 1] -= p;
          e[m] = 0;
          deflated = true;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        const double t = (d[i] - g) * s + 2 * c * b;
        p = s * t;
        d[i + 1] = g + p;
        g = c * t - b;
        if (vectors != nullptr) rotate_rows(vectors + i * n, vectors + (i + 1) * n, n, c, s);
      }
      if (deflated) continue;
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
  return true;
}

}  // namespace

bool SymmetricEigen::solve(std::size_t n, std::span<const double> matrix, Want want) {
  a_.assign(matrix.begin(), matrix.end());
  values_.resize(n);
  off_.assign(n, 0.0);
  beta_.assign(n, 0.0);
  reflectors_.resize(n * n);
  scratch_.resize(n);
  vectors_.resize(want == Want::vectors ? n * n : 0);
  if (n == 0) return true;
  tridiagonalise(n, a_.data(), values_.data(), off_.data(), reflectors_.data(), beta_.data(), scratch_.data());
  if (want == Want::vectors) accumulate(n, reflectors_.data(), beta_.data(), vectors_.data());
  return implicit_ql(n, values_.data(), off_.data(), want == Want::vectors ? vectors_.data() : nullptr);
}

}  // namespace qcqa
