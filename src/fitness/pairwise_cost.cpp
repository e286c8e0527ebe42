#include "qcqa/fitness/pairwise_cost.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

void require_distances(const std::vector<double>& dist, int n, const char* name) {
  const auto size = static_cast<std::size_t>(n);
  if (dist.size() != size * size) {
    throw Error(ErrorKind::invalid_argument, name,
                "must hold heads x heads = " + std::to_string(size * size) + " distances", std::to_string(dist.size()));
  }
  const auto entry = [&](std::size_t i, std::size_t j) {
    return std::string(name) + "[" + std::to_string(i) + "][" + std::to_string(j) + "]";
  };
  for (std::size_t i = 0; i < size; ++i) {
    for (std::size_t j = 0; j < size; ++j) {
      const double value = dist[i * size + j];
      if (!std::isfinite(value) || value < 0) {
        throw Error(ErrorKind::invalid_argument, entry(i, j), "a squared distance must be finite and not negative",
                    std::to_string(value));
      }
      if (i == j && value != 0) {
        throw Error(ErrorKind::invalid_argument, entry(i, j), "the distance of a head to itself must be 0",
                    std::to_string(value));
      }
      if (value != dist[j * size + i]) {
        throw Error(ErrorKind::invalid_argument, entry(i, j), "distances must be symmetric",
                    std::to_string(value) + " and " + std::to_string(dist[j * size + i]));
      }
    }
  }
}

// Four running sums: one alone would wait for the latency of every addition. The order of summation depends on the
// members only, so a group has the same cost, bit for bit, however a search came to it.
double pair_sum(const double* dist, std::size_t n, std::span<const std::uint8_t> members) noexcept {
  double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
  const std::uint8_t* m = members.data();
  for (std::size_t i = 1; i < members.size(); ++i) {
    const double* row = dist + m[i] * n;
    std::size_t j = 0;
    for (; j + 4 <= i; j += 4) {
      s0 += row[m[j]];
      s1 += row[m[j + 1]];
      s2 += row[m[j + 2]];
      s3 += row[m[j + 3]];
    }
    for (; j < i; ++j) s0 += row[m[j]];
  }
  return (s0 + s1) + (s2 + s3);
}

}  // namespace

PairwiseCost::PairwiseCost(int n, std::vector<double> dist_k, std::vector<double> dist_v, std::vector<double> norms_k)
    : n_(n), dist_k_(std::move(dist_k)), dist_v_(std::move(dist_v)), norms_k_(std::move(norms_k)) {
  if (n < 1 || n > kMaxKvHeads) {
    throw Error(ErrorKind::invalid_argument, "heads", "must be between 1 and " + std::to_string(kMaxKvHeads),
                std::to_string(n));
  }
  require_distances(dist_k_, n, "dist_k");
  require_distances(dist_v_, n, "dist_v");
  const bool valid = std::all_of(norms_k_.begin(), norms_k_.end(), [](double x) { return std::isfinite(x) && x >= 0; });
  if (!norms_k_.empty() && (norms_k_.size() != static_cast<std::size_t>(n) || !valid)) {
    throw Error(ErrorKind::invalid_argument, "norms_k", "must be one finite number >= 0 per head, " + std::to_string(n),
                std::to_string(norms_k_.size()) + " numbers");
  }
  dist_.resize(dist_k_.size());
  for (std::size_t i = 0; i < dist_.size(); ++i) dist_[i] = dist_k_[i] + dist_v_[i];
}

double PairwiseCost::cost(std::span<const std::uint8_t> members) const noexcept {
  return pair_sum(dist_.data(), static_cast<std::size_t>(n_), members) / static_cast<double>(members.size());
}

CostParts PairwiseCost::parts(std::span<const std::uint8_t> members) const noexcept {
  const auto n = static_cast<std::size_t>(n_);
  const auto size = static_cast<double>(members.size());
  return {.k = pair_sum(dist_k_.data(), n, members) / size, .v = pair_sum(dist_v_.data(), n, members) / size};
}

}  // namespace qcqa
