#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "search/bound/symmetric_eigen.hpp"
#include "search/bound/triangle_cuts.hpp"
#include "search/index.hpp"

namespace qcqa {

/// Lower bounds on the cost of a grouping into P groups under pairwise costs.
///
/// Relaxation. A grouping is the matrix Z with Z_ij = 1/|G| for i, j in one group G, else 0; its cost is <D, Z>/2. All
/// of these satisfy: Z psd with eigenvalues 0 and 1, trace P, Z e = e, Z_ij >= 0 (Peng, Wei, "Approximating
/// k-means-type clustering via semidefinite programming", SIAM J. Optim. 18(1), 2007), bounds on single entries, and
/// the triangle cuts of TriangleCuts; with groups of one size m, Z_ii = 1/m and Z_ij <= 1/m as well.
///
/// Solver. Alternating directions between the spectral set (a projection by eigenvalues) and the box with its cuts, as
/// Boyd et al., "Distributed optimization and statistical learning via the alternating direction method of
/// multipliers", Found. Trends Mach. Learn. 3(1), 2011, section 5.
///
/// Safety. Whatever multipliers L the iteration has reached, no grouping costs less than
///   min over the spectral set of <D/2 + L, Z>  -  max over the box of <L - cuts, Z>,
/// and both have closed forms: a sum of smallest eigenvalues (Ky Fan) and a sum of signs. So the bound never rests on
/// convergence. certify() also subtracts a bound on the rounding errors, with the eigenvalues checked by their
/// residual.
class ClusteringBound {
 public:
  enum class Sizes { any, equal };

  /// When to stop. An iteration takes O(heads^3). Gaps are shares of the known cost.
  struct Effort {
    double proof = 1e-9;  ///< gap at which nothing is left to do
    double enough = 1;    ///< gap that is good enough once least_iterations are done, unless it is about to vanish
    int least_iterations = 100;
    int most_iterations = 400;
  };

  struct Result {
    double bound = 0;  ///< >= 0, never above the optimum
    int iterations = 0;
  };

  /// @param distances  row-major heads x heads, symmetric, diagonal 0; not owned
  ClusteringBound(int heads, std::span<const double> distances);

  /// @param groups      1 < groups < heads; with Sizes::equal a divisor of heads
  /// @param known_cost  of some grouping, the cheaper the better: tells when to stop
  Result solve(Sizes sizes, int groups, double known_cost, const Effort& effort);

 private:
  struct Box {
    double diagonal_low, diagonal_high, other_high;
  };

  void start(Sizes sizes, int groups);
  void step();
  void rescale_penalty();
  [[nodiscard]] double certify();
  void reduce(const std::vector<double>& matrix);
  void expand();
  void project_spectrum();
  void project_box();

  int heads_, groups_ = 0;
  std::size_t n_;
  double scale_ = 0;  // distances are divided by it
  Box box_{};
  TriangleCuts cuts_;
  SymmetricEigen eigen_;
  double penalty_ = 1, primal_residual_ = 0, dual_residual_ = 0;
  std::vector<double> cost_;        // D / 2, scaled
  std::vector<double> multiplier_;  // scaled: L = penalty * multiplier
  std::vector<double> spectral_, boxed_;
  std::vector<double> reflector_;  // I - f v v^T maps the first unit vector to a multiple of the ones vector
  double reflector_factor_ = 0;
  std::vector<double> work_, reduced_, product_, row_;
};

}  // namespace qcqa
