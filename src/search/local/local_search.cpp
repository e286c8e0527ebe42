#include "search/local/local_search.hpp"

#include <algorithm>
#include <numeric>

#include "search/index.hpp"

namespace qcqa {
namespace {

constexpr int kKicksPerRound = 4;  // of every group count
constexpr int kWeakestKick = 2, kStrongestKick = 6;

}  // namespace

LocalSearch::LocalSearch(int heads, std::span<const double> distances, const Rng& rng)
    : heads_(heads),
      state_(heads, distances),
      rng_(rng),
      order_(at(heads)),
      arbitrary_(at(heads) + 1),
      equal_(at(heads) + 1) {
  std::iota(order_.begin(), order_.end(), 0);
  double largest = 0;
  for (const double d : distances) largest = std::max(largest, d);
  smallest_gain_ = 1e-12 * largest;
}

void LocalSearch::offer_arbitrary(std::span<const int> labels, int groups) {
  state_.load(labels, groups);
  keep(arbitrary_[at(groups)]);
}

void LocalSearch::offer_equal(std::span<const int> labels, int groups) {
  state_.load(labels, groups);
  keep(equal_[at(groups)]);
}

bool LocalSearch::keep(Best& best) {
  const double cost = state_.cost();
  if (!(cost < best.cost - smallest_gain_)) return false;
  best.cost = cost;
  best.labels.assign(state_.labels().begin(), state_.labels().end());
  return true;
}

bool LocalSearch::improve_by_move(int h) {
  const int from = state_.group_of(h);
  if (state_.size(from) == 1) return false;
  int best = -1;
  double least = -smallest_gain_;
  for (int g = 0; g < state_.groups(); ++g) {
    if (g == from) continue;
    const double change = state_.move_change(h, g);
    if (change < least) {
      least = change;
      best = g;
    }
  }
  evaluations_ += state_.groups() - 1;
  if (best < 0) return false;
  state_.move(h, best);
  return true;
}

bool LocalSearch::improve_by_swap(int h) {
  int best = -1;
  double least = -smallest_gain_;
  const int group = state_.group_of(h);
  for (int other = 0; other < heads_; ++other) {
    if (state_.group_of(other) == group) continue;
    const double change = state_.swap_change(h, other);
    if (change < least) {
      least = change;
      best = other;
    }
  }
  evaluations_ += heads_ - state_.size(group);
  if (best < 0) return false;
  state_.swap(h, best);
  return true;
}

// Until no head has an improving move or exchange. A head is done when it was looked at since the last change.
void LocalSearch::descend(bool moves) {
  if (state_.groups() < 2) return;
  rng_.shuffle(std::span(order_));
  int unchanged = 0;
  for (std::size_t i = 0; unchanged < heads_; i = i + 1 == order_.size() ? 0 : i + 1) {
    const int h = order_[i];
    const bool changed = (moves && improve_by_move(h)) || improve_by_swap(h);
    unchanged = changed ? 0 : unchanged + 1;
  }
}

void LocalSearch::merge_best() {
  int best_a = 0, best_b = 1;
  double least = std::numeric_limits<double>::infinity();
  for (int b = 1; b < state_.groups(); ++b) {
    for (int a = 0; a < b; ++a) {
      const double change = state_.merge_change(a, b);
      if (change < least) {
        least = change;
        best_a = a;
        best_b = b;
      }
    }
  }
  evaluations_ += state_.groups() * (state_.groups() - 1) / 2;
  state_.merge(best_a, best_b);
}

// The head whose departure gains most founds the new group; local search brings it company.
void LocalSearch::split_best() {
  int best = -1;
  double least = std::numeric_limits<double>::infinity();
  for (int h = 0; h < heads_; ++h) {
    const int g = state_.group_of(h);
    const int size = state_.size(g);
    if (size < 2) continue;
    const double change = (state_.cost(g) * size - state_.reach(g, h)) / (size - 1) - state_.cost(g);
    if (change < least) {
      least = change;
      best = h;
    }
  }
  evaluations_ += heads_;
  state_.split_off(best);
}

void LocalSearch::kick(int strength, bool moves) {
  for (int i = 0; i < strength; ++i) {
    const int a = rng_.below(heads_), b = rng_.below(heads_);
    if (state_.group_of(a) == state_.group_of(b)) continue;
    if (moves && state_.size(state_.group_of(a)) > 1 && rng_.chance(0.5)) {
      state_.move(a, state_.group_of(b));
    } else {
      state_.swap(a, b);
    }
  }
}

bool LocalSearch::arbitrary_round(int min_groups, int max_groups) {
  bool improved = false;
  const auto search = [&](int groups) {
    descend(true);
    improved |= keep(arbitrary_[at(groups)]);
    state_.load(arbitrary_[at(groups)].labels, groups);
  };
  // Down: from one group count to the next the two groups whose merger costs least become one.
  std::vector<int> single(at(heads_));
  std::iota(single.begin(), single.end(), 0);
  offer_arbitrary(single, heads_);
  for (int groups = heads_ - 1; groups >= min_groups; --groups) {
    merge_best();
    search(groups);
  }
  for (int groups = min_groups + 1; groups < heads_; ++groups) {
    split_best();
    search(groups);
  }
  for (int groups = std::max(2, min_groups); groups <= std::min(max_groups, heads_ - 1); ++groups) {
    for (int i = 0; i < kKicksPerRound; ++i) {
      state_.load(arbitrary_[at(groups)].labels, groups);
      kick(rng_.between(kWeakestKick, kStrongestKick), true);
      search(groups);
    }
  }
  return improved;
}

bool LocalSearch::intensify(int groups, int kicks) {
  Best& best = arbitrary_[at(groups)];
  bool improved = false;
  for (int i = 0; i < kicks; ++i) {
    state_.load(best.labels, groups);
    kick(rng_.between(kWeakestKick, kStrongestKick), true);
    descend(true);
    improved |= keep(best);
  }
  return improved;
}

bool LocalSearch::equal_round(int groups, int restarts) {
  Best& best = equal_[at(groups)];
  bool improved = false;
  std::vector<int> labels(at(heads_));
  for (int i = 0; i < restarts; ++i) {
    if (best.labels.empty()) {
      rng_.shuffle(std::span(order_));
      for (int k = 0; k < heads_; ++k) labels[at(order_[at(k)])] = k % groups;
      state_.load(labels, groups);
    } else {
      state_.load(best.labels, groups);
      kick(rng_.between(kWeakestKick, kStrongestKick), false);
    }
    descend(false);
    improved |= keep(best);
  }
  return improved;
}

}  // namespace qcqa
