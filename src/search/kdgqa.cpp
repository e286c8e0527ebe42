#include "search/kdgqa.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace qcqa {
namespace {

// |mean of the keys| from norms and distances: m^2 |mean|^2 = m * sum of norms - sum of distances of pairs.
double pooled_norm(const PairwiseCost& cost, std::size_t begin, std::size_t end) {
  const auto n = static_cast<std::size_t>(cost.heads());
  double norms = 0, distances = 0;
  for (std::size_t i = begin; i < end; ++i) {
    norms += cost.norms_k()[i];
    for (std::size_t j = i + 1; j < end; ++j) distances += cost.distances_k()[i * n + j];
  }
  const auto size = static_cast<double>(end - begin);
  return std::sqrt(std::max(0.0, size * norms - distances)) / size;
}

}  // namespace

const PairwiseCost* with_key_norms(const GroupCost& cost) noexcept {
  const PairwiseCost* pairwise = cost.pairwise();
  return pairwise != nullptr && !pairwise->norms_k().empty() ? pairwise : nullptr;
}

Grouping kdgqa_grouping(const PairwiseCost& cost, int groups) {
  const auto heads = static_cast<std::size_t>(cost.heads()), count = static_cast<std::size_t>(groups);
  std::vector<double> norms;
  for (std::size_t g = 0, begin = 0; g < count; ++g) {
    const std::size_t end = begin + heads / count + (g < heads % count ? 1 : 0);
    norms.push_back(pooled_norm(cost, begin, end));
    begin = end;
  }
  const auto [least, most] = std::minmax_element(norms.begin(), norms.end());
  const double low = *least, range = *most - *least;
  for (double& norm : norms) norm = range > 0 ? (norm - low) / range : 1;
  const double sum = std::accumulate(norms.begin(), norms.end(), 0.0);
  std::vector<int> sizes;
  for (const double norm : norms) {
    sizes.push_back(std::max(1, static_cast<int>(std::lround(norm / sum * cost.heads()))));
  }
  int left = cost.heads() - std::accumulate(sizes.begin(), sizes.end(), 0);
  for (; left < 0; ++left) --*std::max_element(sizes.begin(), sizes.end());
  for (; left > 0; --left) ++*std::min_element(sizes.begin(), sizes.end());
  std::vector<int> labels;
  for (std::size_t g = 0; g < count; ++g)
    labels.insert(labels.end(), static_cast<std::size_t>(sizes[g]), static_cast<int>(g));
  return Grouping::from_labels(labels);
}

}  // namespace qcqa
