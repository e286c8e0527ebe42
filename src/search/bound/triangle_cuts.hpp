#pragma once

#include <cstdint>
#include <vector>

namespace qcqa {

/// Inequalities that every grouping matrix Z satisfies and the semidefinite relaxation may not:
///   Z_ij <= Z_ii   and   Z_ij + Z_ik <= Z_ii + Z_jk
/// (heads j and k both with i are with each other). Peng, Wei 2007; Piccialli, Sudoso, Wiegele, "SOS-SDP: an exact
/// solver for minimum sum-of-squares clustering", INFORMS J. Comput. 34(4), 2022, section 3. Only the violated ones are
/// kept, each with a multiplier >= 0 that ClusteringBound's box step improves.
class TriangleCuts {
 public:
  struct Cut {
    int i = 0, j = 0, k = -1;  ///< k < 0: the pair inequality
    double multiplier = 0;
  };

  explicit TriangleCuts(int heads) : heads_(heads) {}

  void clear() { cuts_.clear(); }
  /// Drops the cuts whose multiplier is 0 and adds the most violated others, at most `most`.
  void separate(const std::vector<double>& z, bool pairs, int most);
  void rescale(double factor);
  [[nodiscard]] std::vector<Cut>& cuts() noexcept { return cuts_; }

  /// matrix += amount * (left side - right side), symmetric.
  void add(std::vector<double>& matrix, const Cut& cut, double amount) const;

 private:
  struct Violation {
    double amount;
    Cut cut;
  };
  int heads_;
  std::vector<Cut> cuts_;
  std::vector<Violation> violated_;
};

}  // namespace qcqa
