#include "search/bound/clustering_bound.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/vector_clones.hpp"

namespace qcqa {
namespace {

constexpr int kCheckEvery = 25;  // iterations between two bounds
constexpr int kFirstCuts = 25;   // before, the plain relaxation says better which cuts matter
constexpr int kNewCuts = 100;    // at most, at a time
constexpr int kCutSweeps = 3;    // of coordinate ascent on the multipliers, per box step
constexpr int kBalanceEvery = 10;
constexpr double kBalance = 5;       // residuals this far apart change the penalty
constexpr double kStalled = 0.02;    // share of the gap that two checks must close to go on
constexpr double kConverging = 0.6;  // a gap that shrinks like this between checks will vanish soon
constexpr int kPatience = 4;         // checks without that

// out = reflected matrix, without its first row and column: (H A H)_{1.., 1..}, H = I - f v v^T.
QCQA_VECTOR_CLONES
void reflect_and_drop(std::size_t n, const double* a, const double* v, double f, double* p, double* out) {
  for (std::size_t i = 0; i < n; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < n; ++j) sum += a[i * n + j] * v[j];
    p[i] = f * sum;
  }
  double half = 0;
  for (std::size_t i = 0; i < n; ++i) half += p[i] * v[i];
  half *= f / 2;
  for (std::size_t i = 0; i < n; ++i) p[i] -= half * v[i];
  for (std::size_t i = 1; i < n; ++i) {
    for (std::size_t j = 1; j < n; ++j) out[(i - 1) * (n - 1) + j - 1] = a[i * n + j] - v[i] * p[j] - p[i] * v[j];
  }
}

// out = H [0 0; 0 y] H + (1/n) e e^T.
QCQA_VECTOR_CLONES
void pad_and_reflect(std::size_t n, const double* y, const double* v, double f, double* p, double* out) {
  const std::size_t q = n - 1;
  p[0] = 0;
  for (std::size_t i = 0; i < q; ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < q; ++j) sum += y[i * q + j] * v[j + 1];
    p[i + 1] = f * sum;
  }
  double half = 0;
  for (std::size_t i = 0; i < n; ++i) half += p[i] * v[i];
  half *= f / 2;
  for (std::size_t i = 0; i < n; ++i) p[i] -= half * v[i];
  const double mean = 1 / static_cast<double>(n);
  for (std::size_t j = 0; j < n; ++j) out[j] = mean - v[0] * p[j] - p[0] * v[j];
  for (std::size_t i = 1; i < n; ++i) {
    double* row = out + i * n;
    row[0] = mean - v[i] * p[0] - p[i] * v[0];
    for (std::size_t j = 1; j < n; ++j) row[j] = y[(i - 1) * q + j - 1] + mean - v[i] * p[j] - p[i] * v[j];
  }
}

// out = sum over k of weight[k] * vector_k vector_k^T; zero weights cost nothing.
QCQA_VECTOR_CLONES
void weighted_outer(std::size_t q, const double* weight, const double* vectors, double* out) {
  std::fill_n(out, q * q, 0.0);
  for (std::size_t k = 0; k < q; ++k) {
    if (weight[k] == 0) continue;
    const double* e = vectors + k * q;
    for (std::size_t i = 0; i < q; ++i) {
      const double f = weight[k] * e[i];
      double* row = out + i * q;
      for (std::size_t j = 0; j < q; ++j) row[j] += f * e[j];
    }
  }
}

double frobenius(const std::vector<double>& matrix) {
  double sum = 0;
  for (const double x : matrix) sum += x * x;
  return std::sqrt(sum);
}

}  // namespace

ClusteringBound::ClusteringBound(int heads, std::span<const double> distances)
    : heads_(heads), n_(at(heads)), cuts_(heads), cost_(distances.begin(), distances.end()) {
  for (const double d : distances) scale_ = std::max(scale_, d);
  if (scale_ <= 0 || heads < 3) return;
  // The mean is a better unit than the largest, unless it underflows.
  double mean = 0;
  for (const double d : distances) mean += d / scale_;
  scale_ *= mean / static_cast<double>(n_ * (n_ - 1));
  for (double& x : cost_) x = 0.5 * (x / scale_);
  reflector_.assign(n_, 1.0);
  reflector_[0] += std::sqrt(static_cast<double>(n_));
  double square = 0;
  for (const double x : reflector_) square += x * x;
  reflector_factor_ = 2 / square;
  for (auto* matrix : {&multiplier_, &spectral_, &boxed_, &work_, &product_}) matrix->resize(n_ * n_);
  reduced_.resize((n_ - 1) * (n_ - 1));
  row_.resize(n_);
}

void ClusteringBound::start(Sizes sizes, int groups) {
  groups_ = groups;
  const double inverse_size = static_cast<double>(groups) / heads_;
  box_ = sizes == Sizes::equal ? Box{inverse_size, inverse_size, inverse_size}
                               : Box{1.0 / (heads_ - groups + 1), 1.0, 0.5};
  penalty_ = 1;
  cuts_.clear();
  std::fill(multiplier_.begin(), multiplier_.end(), 0.0);
  std::fill(boxed_.begin(), boxed_.end(), 0.0);
}

void ClusteringBound::reduce(const std::vector<double>& matrix) {
  reflect_and_drop(n_, matrix.data(), reflector_.data(), reflector_factor_, row_.data(), reduced_.data());
}

// Nearest symmetric matrix with eigenvalues in [0, 1] and trace groups - 1, on the complement of the ones vector.
void ClusteringBound::project_spectrum() {
  const auto values = eigen_.values();
  const double target = groups_ - 1;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const double x : values) {
    low = std::min(low, x - 1);
    high = std::max(high, x);
  }
  for (int i = 0; i < 60; ++i) {
    const double shift = 0.5 * (low + high);
    double trace = 0;
    for (const double x : values) trace += std::clamp(x - shift, 0.0, 1.0);
    (trace > target ? low : high) = shift;
  }
  const double shift = 0.5 * (low + high);
  for (std::size_t k = 0; k < values.size(); ++k) row_[k] = std::clamp(values[k] - shift, 0.0, 1.0);
  weighted_outer(n_ - 1, row_.data(), eigen_.vectors().data(), reduced_.data());
  pad_and_reflect(n_, reduced_.data(), reflector_.data(), reflector_factor_, row_.data(), spectral_.data());
  // What rounding leaves unequal would add up in the multipliers, and certify() rests on their symmetry.
  for (std::size_t i = 0; i < n_; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      double& lower = spectral_[i * n_ + j];
      double& upper = spectral_[j * n_ + i];
      lower = upper = 0.5 * (lower + upper);
    }
  }
}

// Nearest point of the box with its cuts, nearly: the multipliers of the cuts improve from step to step (Hildreth's
// method). multiplier_ holds the point to project and afterwards the difference.
void ClusteringBound::project_box() {
  work_ = multiplier_;
  const auto clamped = [&](int a, int b) {
    const double x = work_[at(a) * n_ + at(b)];
    return a == b ? std::clamp(x, box_.diagonal_low, box_.diagonal_high) : std::clamp(x, 0.0, box_.other_high);
  };
  for (const auto& cut : cuts_.cuts()) cuts_.add(work_, cut, -cut.multiplier);
  for (int sweep = 0; sweep < kCutSweeps; ++sweep) {
    for (auto& cut : cuts_.cuts()) {
      double violation = clamped(cut.i, cut.j) - clamped(cut.i, cut.i);
      if (cut.k >= 0) violation += clamped(cut.i, cut.k) - clamped(cut.j, cut.k);
      const double square = cut.k >= 0 ? 2.5 : 1.5;  // of the cut's matrix
      const double next = std::max(0.0, cut.multiplier + violation / square);
      if (next == cut.multiplier) continue;
      cuts_.add(work_, cut, cut.multiplier - next);
      cut.multiplier = next;
    }
  }
  primal_residual_ = dual_residual_ = 0;
  for (std::size_t i = 0; i < n_; ++i) {
    for (std::size_t j = 0; j < n_; ++j) {
      const std::size_t ij = i * n_ + j;
      const double z = i == j ? std::clamp(work_[ij], box_.diagonal_low, box_.diagonal_high)
                              : std::clamp(work_[ij], 0.0, box_.other_high);
      const double apart = spectral_[ij] - z, moved = z - boxed_[ij];
      primal_residual_ += apart * apart;
      dual_residual_ += moved * moved;
      multiplier_[ij] -= z;
      boxed_[ij] = z;
    }
  }
  primal_residual_ = std::sqrt(primal_residual_);
  dual_residual_ = penalty_ * std::sqrt(dual_residual_);
}

void ClusteringBound::step() {
  for (std::size_t i = 0; i < work_.size(); ++i) work_[i] = boxed_[i] - multiplier_[i] - cost_[i] / penalty_;
  reduce(work_);
  if (!eigen_.solve(n_ - 1, reduced_)) return;  // keeps what there is
  project_spectrum();
  for (std::size_t i = 0; i < work_.size(); ++i) multiplier_[i] += spectral_[i];
  project_box();
}

void ClusteringBound::rescale_penalty() {
  double factor = 1;
  if (primal_residual_ > kBalance * dual_residual_) factor = 2;
  if (dual_residual_ > kBalance * primal_residual_) factor = 0.5;
  if (factor == 1) return;
  penalty_ *= factor;
  for (double& u : multiplier_) u /= factor;
  cuts_.rescale(1 / factor);
}

// The bound of the present multipliers, less all that rounding can have added. `unit` bounds the relative error of one
// inner product or reflection of length n; terms follow the formula in the class comment. Higham, "Accuracy and
// stability of numerical algorithms", 2002, chapters 3 and 19; Weyl's and Ostrowski's theorems for the eigenvalues.
double ClusteringBound::certify() {
  constexpr double kEps = std::numeric_limits<double>::epsilon();
  const auto q = n_ - 1;
  const double unit = 32 * static_cast<double>(n_) * kEps;

  // The box, against the multipliers less those of the cuts (which are valid, so they may be left out at no risk).
  work_ = multiplier_;
  for (const auto& cut : cuts_.cuts()) cuts_.add(work_, cut, -cut.multiplier);
  double support = 0, weight = 0, cut_weight = 0;
  for (std::size_t i = 0; i < n_; ++i) {
    double row = 0;
    for (std::size_t j = 0; j < n_; ++j) {
      const double l = penalty_ * work_[i * n_ + j];
      weight += std::abs(l);
      row += i == j ? (l > 0 ? l * box_.diagonal_high : l * box_.diagonal_low) : (l > 0 ? l * box_.other_high : 0);
    }
    support += row;
  }
  for (const auto& cut : cuts_.cuts()) cut_weight += 4 * penalty_ * cut.multiplier;

  double mean = 0;
  for (std::size_t i = 0; i < n_; ++i) {
    double row = 0;
    for (std::size_t j = 0; j < n_; ++j)
      row += work_[i * n_ + j] = cost_[i * n_ + j] + penalty_ * multiplier_[i * n_ + j];
    mean += row;
  }
  mean /= static_cast<double>(n_);
  const double size = frobenius(work_);
  reduce(work_);
  if (!eigen_.solve(q, reduced_)) return 0;
  const auto values = eigen_.values();
  const auto vectors = eigen_.vectors();

  // How far the computed eigenvalues can be off: residual of the decomposition, and of the vectors' orthogonality.
  weighted_outer(q, values.data(), vectors.data(), product_.data());
  double residual = 0, skew = 0, largest = 0;
  for (std::size_t i = 0; i < q * q; ++i) residual += (reduced_[i] - product_[i]) * (reduced_[i] - product_[i]);
  for (const double x : values) largest = std::max(largest, std::abs(x));
  std::fill(row_.begin(), row_.end(), 1.0);
  weighted_outer(q, row_.data(), vectors.data(), product_.data());
  for (std::size_t i = 0; i < q * q; ++i) {
    const double off = product_[i] - (i % (q + 1) == 0 ? 1.0 : 0.0);
    skew += off * off;
  }
  const double n_eps = static_cast<double>(n_ * n_) * kEps;
  const double per_value = 1.01 * std::sqrt(residual) + 3 * (std::sqrt(skew) + n_eps) * largest + 2 * n_eps * largest;

  work_.assign(values.begin(), values.end());
  std::sort(work_.begin(), work_.end());
  double smallest = 0;
  for (int k = 0; k + 1 < groups_; ++k) smallest += work_[at(k)];
  work_.resize(n_ * n_);
  const double slack = (groups_ - 1) * (per_value + unit * size) + unit * (size + weight + cut_weight) +
                       unit * (std::abs(mean) + std::abs(smallest) + std::abs(support));
  const double bound = (mean + smallest - support - slack) * scale_;
  return std::isfinite(bound) ? bound * (1 - 4 * kEps) : 0;
}

ClusteringBound::Result ClusteringBound::solve(Sizes sizes, int groups, double known_cost, const Effort& effort) {
  Result result;
  if (!(scale_ > 0) || heads_ < 3 || groups <= 1 || groups >= heads_) return result;
  start(sizes, groups);
  result.bound = std::max(0.0, certify());  // without multipliers: the spectral bound
  double gap_before = std::numeric_limits<double>::infinity();
  for (int stalled = 0; result.iterations < effort.most_iterations && stalled < kPatience;) {
    if (known_cost - result.bound <= effort.proof * known_cost) break;
    step();
    ++result.iterations;
    if (result.iterations % kBalanceEvery == 0) rescale_penalty();
    if (result.iterations % kCheckEvery != 0 && result.iterations != effort.most_iterations) continue;
    result.bound = std::max(result.bound, certify());
    const double gap = known_cost - result.bound;
    const bool enough = result.iterations >= effort.least_iterations && gap <= effort.enough * known_cost;
    if (enough && gap > kConverging * gap_before) break;
    stalled = gap > (1 - kStalled) * gap_before ? stalled + 1 : 0;
    gap_before = gap;
    if (result.iterations >= kFirstCuts) cuts_.separate(spectral_, sizes == Sizes::any, kNewCuts);
  }
  return result;
}

}  // namespace qcqa
