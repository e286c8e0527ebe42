#pragma once

#include <memory>
#include <vector>

#include "qcqa/fitness/group_cost.hpp"

namespace qcqa {

/// Group cost that follows from squared distances between heads: cost(G) = 1/|G| * sum_{i<j in G} dist(i, j).
///
/// This is the weight-sharing error (WSE) when dist(i, j) = |K_i - K_j|^2 + |V_i - V_j|^2 (Frobenius norms): the sum of
/// squared deviations from the group mean equals the mean pairwise form (Huygens). QCQA, arXiv 2406.10247, section 3.2.
/// Distances instead of inner products keep the cost of identical heads exactly 0.
class PairwiseCost final : public GroupCost {
 public:
  /// @param dist_k, dist_v  symmetric, row-major n x n, diagonal 0, entries finite and >= 0
  /// @throws Error(invalid_argument) when that does not hold or 1 <= n <= kMaxKvHeads does not
  /// @param norms_k  squared norm of each head's keys, or empty when unknown; the cost itself does not need them
  PairwiseCost(int n, std::vector<double> dist_k, std::vector<double> dist_v, std::vector<double> norms_k = {});

  [[nodiscard]] int heads() const noexcept override { return n_; }
  [[nodiscard]] double cost(std::span<const std::uint8_t> members) const noexcept override;
  [[nodiscard]] CostParts parts(std::span<const std::uint8_t> members) const noexcept override;
  [[nodiscard]] const PairwiseCost* pairwise() const noexcept override { return this; }

  /// Row-major n x n sums dist_k + dist_v: for searches that exploit the structure.
  [[nodiscard]] std::span<const double> distances() const noexcept { return dist_; }
  [[nodiscard]] std::span<const double> distances_k() const noexcept { return dist_k_; }
  [[nodiscard]] std::span<const double> distances_v() const noexcept { return dist_v_; }
  [[nodiscard]] std::span<const double> norms_k() const noexcept { return norms_k_; }

 private:
  int n_;
  std::vector<double> dist_k_, dist_v_, dist_, norms_k_;
};

}  // namespace qcqa
