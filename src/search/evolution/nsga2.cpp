#include "qcqa/search/nsga2.hpp"

#include <algorithm>
#include <string>

#include "qcqa/support/error.hpp"
#include "search/evolution/pareto_sorter.hpp"

namespace qcqa {

bool dominates(const Objectives& a, const Objectives& b) noexcept {
  return a[0] <= b[0] && a[1] <= b[1] && (a[0] < b[0] || a[1] < b[1]);
}

std::vector<int> non_dominated_ranks(std::span<const Objectives> points) {
  ParetoSorter sorter;
  sorter.sort(points);
  return sorter.ranks();
}

std::vector<double> crowding_distances(std::span<const Objectives> points, std::span<const int> ranks) {
  if (ranks.size() != points.size() || std::any_of(ranks.begin(), ranks.end(), [](int r) { return r < 0; })) {
    throw Error(ErrorKind::invalid_argument, "crowding distances", "need one rank >= 0 for each of the points",
                std::to_string(ranks.size()) + " ranks for " + std::to_string(points.size()) + " points");
  }
  ParetoSorter sorter;
  sorter.crowd(points, ranks);
  return sorter.crowding();
}

double hypervolume(std::span<const Objectives> points, const Objectives& reference) {
  std::vector<Objectives> sorted;
  for (const auto& p : points) {
    if (p[0] < reference[0] && p[1] < reference[1]) sorted.push_back(p);
  }
  std::sort(sorted.begin(), sorted.end());
  double area = 0;
  double ceiling = reference[1];
  for (const auto& p : sorted) {
    if (p[1] >= ceiling) continue;
    area += (reference[0] - p[0]) * (ceiling - p[1]);
    ceiling = p[1];
  }
  return area;
}

}  // namespace qcqa
