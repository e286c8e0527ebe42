// The mutations of GroupingProblem; see there for why they are what they are.
#include <algorithm>
#include <array>
#include <limits>

#include "search/evolution/grouping_problem.hpp"

namespace qcqa {
namespace {

// Share of moves that take the best of several. Equal groups only have exchanges, of which few are good: more of them
// must be looked for. Found on CodeLlama-13B's layers: at 0.5 and 16 partners equal groups end three times as far from
// the best known, at no less time for the same result.
constexpr double kGuidedShareArbitrary = 0.5;
constexpr double kGuidedShareEqual = 0.8;
constexpr int kExchangePartners = 32;  // tried by a guided exchange
constexpr double kAnotherMove = 0.3;   // chance of one more move

}  // namespace

void GroupingProblem::mutate(Rng& rng, Labels& labels) {
  partition_.load(labels);
  const double guided_share = cardinality_ == Cardinality::equal ? kGuidedShareEqual : kGuidedShareArbitrary;
  do {
    const bool guided = rng.chance(guided_share);
    const int kind = rng.below(10);
    if (cardinality_ == Cardinality::equal) {
      if (kind < 1) {
        recut(rng);
      } else {
        exchange_heads(rng, guided);
      }
    } else if (kind < 4) {
      move_head(rng, guided);
    } else if (kind < 6) {
      exchange_heads(rng, guided);
    } else if (kind < 8) {
      merge_groups(rng, guided);
    } else {
      split_group(rng, guided);
    }
  } while (rng.chance(kAnotherMove));
  partition_.store(labels);
}

// -1 when every group is a single head.
int GroupingProblem::random_head_in_larger_group(Rng& rng) {
  if (partition_.groups() == heads_) return -1;
  int h = rng.below(heads_);
  while (partition_.size(partition_.group_of(h)) < 2) h = (h + 1) % heads_;
  return h;
}

void GroupingProblem::move_head(Rng& rng, bool guided) {
  const int groups = partition_.groups();
  const int h = random_head_in_larger_group(rng);
  if (h < 0 || groups < 2) return;
  const int from = partition_.group_of(h);
  if (!guided) {
    const int to = rng.below(groups - 1);
    partition_.move(h, to + (to >= from));
    return;
  }
  int best = -1;
  double least = std::numeric_limits<double>::infinity();
  for (int g = 0; g < groups; ++g) {
    if (g == from) continue;
    ++evaluations_;
    const double increase = partition_.cost_with(g, h) - partition_.cost(g);
    if (increase < least || best < 0) {
      least = increase;
      best = g;
    }
  }
  partition_.move(h, best);
}

void GroupingProblem::exchange_heads(Rng& rng, bool guided) {
  if (partition_.groups() < 2) return;
  const int a = rng.below(heads_);
  const int group_a = partition_.group_of(a);
  const int others = heads_ - partition_.size(group_a);
  const int tries = guided ? std::min(kExchangePartners, others) : 1;
  // A run of heads from a random start on: distinct partners without a shuffle.
  int b = rng.below(heads_);
  int best = -1;
  double least = std::numeric_limits<double>::infinity();
  for (int tried = 0; tried < tries; b = (b + 1) % heads_) {
    const int group_b = partition_.group_of(b);
    if (group_b == group_a || (partition_.size(group_a) == 1 && partition_.size(group_b) == 1)) {
      if (group_b != group_a) ++tried;  // two single heads: no change
      continue;
    }
    ++tried;
    if (!guided) {
      best = b;
      break;
    }
    ++evaluations_;
    const double change = partition_.cost_exchanged(group_a, a, b) + partition_.cost_exchanged(group_b, b, a) -
                          partition_.cost(group_a) - partition_.cost(group_b);
    if (change < least || best < 0) {
      least = change;
      best = b;
    }
  }
  if (best >= 0) partition_.swap(a, best);
}

void GroupingProblem::merge_groups(Rng& rng, bool guided) {
  const int groups = partition_.groups();
  if (groups <= min_groups_ || groups < 2) return;
  const int a = rng.below(groups);
  int best = rng.below(groups - 1);
  best += best >= a;
  if (guided) {
    double least = std::numeric_limits<double>::infinity();
    for (int g = 0; g < groups; ++g) {
      if (g == a) continue;
      ++evaluations_;
      const double increase = partition_.cost_merged(a, g) - partition_.cost(g);
      if (increase < least) {
        least = increase;
        best = g;
      }
    }
  }
  partition_.merge(a, best);
}

// Blind: each head of the group to either half. Guided: a random head and the one farthest from it found the halves,
// the others join the nearer founder.
void GroupingProblem::split_group(Rng& rng, bool guided) {
  if (partition_.groups() >= max_groups_) return;
  const int first = random_head_in_larger_group(rng);
  if (first < 0) return;
  const int g = partition_.group_of(first);
  std::array<std::uint8_t, kMaxKvHeads> buffer;
  const auto group = partition_.members(g);
  std::copy(group.begin(), group.end(), buffer.begin());
  const std::span members(buffer.data(), group.size());

  int second = first;
  if (guided) {
    double farthest = -1;
    for (const int h : members) {
      const double distance = h == first ? -1 : partition_.cost_of_pair(first, h);
      if (distance > farthest) {
        farthest = distance;
        second = h;
      }
    }
  }
  while (second == first) second = members[static_cast<std::size_t>(rng.below(static_cast<int>(members.size())))];
  const int other = partition_.open();
  partition_.move(second, other);
  for (const int h : members) {
    if (h == first || h == second) continue;
    const bool goes = guided ? partition_.cost_of_pair(second, h) < partition_.cost_of_pair(first, h) : rng.chance(0.5);
    if (goes) partition_.move(h, other);
  }
}

// Another number of equal groups: as many groups as fit are kept, down to the new size; the other heads are placed
// where they cost least.
void GroupingProblem::recut(Rng& rng) {
  const int groups = random_count(rng);
  if (groups == partition_.groups()) return;
  const int room = capacity(groups);
  loose_.clear();
  while (partition_.groups() > groups) {
    const int g = rng.below(partition_.groups());
    while (partition_.size(g) > 0) {
      loose_.push_back(partition_.members(g).back());
      partition_.erase(loose_.back());
    }
    partition_.close(g);
  }
  for (int g = 0; g < partition_.groups(); ++g) {
    while (partition_.size(g) > room) {
      loose_.push_back(partition_.members(g)[static_cast<std::size_t>(rng.below(partition_.size(g)))]);
      partition_.erase(loose_.back());
    }
  }
  rng.shuffle(std::span(loose_));
  place_loose(groups);
}

}  // namespace qcqa
