#include "search/evolution/pareto_sorter.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace qcqa {

void ParetoSorter::order_points(std::span<const Objectives> points) {
  order_.resize(points.size());
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  // The index makes the order total, hence the same with every implementation of std::sort.
  std::sort(order_.begin(), order_.end(), [&](std::size_t a, std::size_t b) {
    if (points[a] != points[b]) return points[a] < points[b];
    return a < b;
  });
}

// Points come by rising first objective, so a point can only be dominated by earlier ones, and of a front the point
// added last has the least second objective: it alone decides. The last points of fronts 0, 1, 2, ... rise in the
// second objective, so the first front that does not dominate the point is found by bisection. (The two-objective case
// of Jensen, "Reducing the run-time complexity of multiobjective EAs", IEEE TEC 7(5), 2003.)
void ParetoSorter::sort(std::span<const Objectives> points) {
  order_points(points);
  ranks_.assign(points.size(), 0);
  last_.clear();
  for (const std::size_t p : order_) {
    const auto front = std::partition_point(last_.begin(), last_.end(),
                                            [&](std::size_t q) { return dominates(points[q], points[p]); });
    ranks_[p] = static_cast<int>(front - last_.begin());
    if (front == last_.end()) {
      last_.push_back(p);
    } else {
      *front = p;
    }
  }
  crowd_in_order(points);
}

void ParetoSorter::crowd(std::span<const Objectives> points, std::span<const int> ranks) {
  order_points(points);
  ranks_.assign(ranks.begin(), ranks.end());
  crowd_in_order(points);
}

void ParetoSorter::crowd_in_order(std::span<const Objectives> points) {
  crowding_.assign(points.size(), 0.0);
  if (points.empty()) return;
  // Counting sort by rank keeps the order within each front: rising first and, in a true front, falling second
  // objective. So both objectives have the same neighbours, and one pass serves them.
  const auto fronts = static_cast<std::size_t>(*std::max_element(ranks_.begin(), ranks_.end())) + 1;
  start_.assign(fronts + 1, 0);
  for (const int rank : ranks_) ++start_[static_cast<std::size_t>(rank) + 1];
  std::partial_sum(start_.begin(), start_.end(), start_.begin());
  by_front_.resize(points.size());
  last_.assign(start_.begin(), start_.end() - 1);
  for (const std::size_t p : order_) by_front_[last_[static_cast<std::size_t>(ranks_[p])]++] = p;

  for (std::size_t f = 0; f < fronts; ++f) {
    const auto begin = by_front_.begin() + static_cast<std::ptrdiff_t>(start_[f]);
    auto end = by_front_.begin() + static_cast<std::ptrdiff_t>(start_[f + 1]);
    if (begin == end) continue;
    // Only one of several equal vectors stands for them; the copies keep distance 0 and leave first.
    end = std::unique(begin, end, [&](std::size_t a, std::size_t b) { return points[a] == points[b]; });
    crowding_[*begin] = crowding_[*(end - 1)] = std::numeric_limits<double>::infinity();
    for (std::size_t m = 0; m < 2; ++m) {
      const double range = std::abs(points[*(end - 1)][m] - points[*begin][m]);
      if (range <= 0) continue;
      for (auto it = begin + 1; it < end - 1; ++it) {
        crowding_[*it] += std::abs(points[*(it + 1)][m] - points[*(it - 1)][m]) / range;
      }
    }
  }
}

}  // namespace qcqa
