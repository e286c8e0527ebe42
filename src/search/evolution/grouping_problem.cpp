#include "search/evolution/grouping_problem.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "search/index.hpp"

namespace qcqa {
GroupingProblem::GroupingProblem(const GroupCost& cost, Cardinality cardinality, int min_groups, int max_groups)
    : cardinality_(cardinality),
      heads_(cost.heads()),
      min_groups_(min_groups),
      max_groups_(max_groups),
      archive_(at(heads_) + 1),
      partition_(cost) {
  for (int p = min_groups; p <= max_groups; ++p) {
    if (cardinality == Cardinality::arbitrary || heads_ % p == 0) counts_.push_back(p);
  }
  loose_.reserve(at(heads_));
  order_.reserve(at(heads_));
}

std::vector<std::uint8_t> GroupingProblem::encode(const Labels& labels) const {
  return {labels.of.begin(), labels.of.begin() + heads_};
}

std::optional<Labels> GroupingProblem::decode(std::span<const std::uint8_t> bytes) const {
  if (bytes.size() != at(heads_)) return std::nullopt;
  Labels labels;
  int groups = 0;
  std::array<int, kMaxKvHeads> size{};
  for (std::size_t h = 0; h < bytes.size(); ++h) {
    if (bytes[h] > groups) return std::nullopt;
    groups = std::max(groups, bytes[h] + 1);
    ++size[bytes[h]];
    labels.of[h] = bytes[h];
  }
  labels.groups = static_cast<std::uint16_t>(groups);
  const bool fits = std::binary_search(counts_.begin(), counts_.end(), groups) &&
                    std::all_of(size.begin(), size.begin() + groups, [&](int s) { return s <= capacity(groups); });
  return fits ? std::optional(labels) : std::nullopt;
}

int GroupingProblem::capacity(int groups) const noexcept {
  return cardinality_ == Cardinality::equal ? heads_ / groups : heads_;
}

void GroupingProblem::random(Rng& rng, Labels& out) {
  const int groups = random_count(rng);
  order_.resize(at(heads_));
  std::iota(order_.begin(), order_.end(), 0);
  rng.shuffle(std::span(order_));
  partition_.clear();
  for (int g = 0; g < groups; ++g) partition_.open();
  for (int i = 0; i < heads_; ++i) {
    // The first heads make sure that no group stays empty.
    const bool fixed = i < groups || cardinality_ == Cardinality::equal;
    partition_.insert(fixed ? i % groups : rng.below(groups), order_[at(i)]);
  }
  partition_.store(out);
}

void GroupingProblem::crossover(Rng& rng, const Labels& a, const Labels& b, Labels& child) {
  // AC children may have any number of groups between the parents'; an EC child needs groups of its donor's size.
  const int target = cardinality_ == Cardinality::equal
                         ? a.groups
                         : rng.between(std::min(a.groups, b.groups), std::max(a.groups, b.groups));
  const int room = capacity(target);

  // Whole groups of a, in random number and choice.
  order_.resize(a.groups);
  std::iota(order_.begin(), order_.end(), 0);
  rng.shuffle(std::span(order_));
  const int inherited = rng.between(1, std::max(1, std::min<int>(a.groups, target) - 1));
  std::array<int, kMaxKvHeads> new_group;
  new_group.fill(-1);
  partition_.clear();
  for (int i = 0; i < inherited; ++i) new_group[at(order_[at(i)])] = partition_.open();
  loose_.clear();
  for (int h = 0; h < heads_; ++h) {
    const int g = new_group[a.of[at(h)]];
    if (g >= 0) {
      partition_.insert(g, h);
    } else {
      loose_.push_back(h);
    }
  }

  // The pieces of b, those least torn first, then the larger ones: an untouched single head that b keeps alone is as
  // much an achievement as a large group.
  whole_size_.assign(b.groups, 0);
  piece_size_.assign(b.groups, 0);
  for (int h = 0; h < heads_; ++h) ++whole_size_[b.of[at(h)]];
  for (const int h : loose_) ++piece_size_[b.of[at(h)]];
  order_.resize(b.groups);
  std::iota(order_.begin(), order_.end(), 0);
  rng.shuffle(std::span(order_));
  std::erase_if(order_, [&](int g) { return piece_size_[at(g)] == 0; });
  std::sort(order_.begin(), order_.end(), [&](int x, int y) {
    const int left = piece_size_[at(x)] * whole_size_[at(y)], right = piece_size_[at(y)] * whole_size_[at(x)];
    if (left != right) return left > right;
    if (piece_size_[at(x)] != piece_size_[at(y)]) return piece_size_[at(x)] > piece_size_[at(y)];
    return x < y;
  });
  new_group.fill(-1);
  for (const int g : order_) {
    if (partition_.groups() == target) break;
    new_group[at(g)] = partition_.open();
  }
  rng.shuffle(std::span(loose_));
  std::erase_if(loose_, [&](int h) {
    const int g = new_group[b.of[at(h)]];
    if (g < 0 || partition_.size(g) == room) return false;
    partition_.insert(g, h);
    return true;
  });
  place_loose(target);
  repair(rng);
  partition_.store(child);
}

// Puts the loose heads (in their order) where they cost least; first opens groups up to `groups`.
void GroupingProblem::place_loose(int groups) {
  const int room = capacity(groups);
  while (partition_.groups() < groups) {
    if (loose_.empty()) break;
    const int g = partition_.open();
    partition_.insert(g, loose_.back());
    loose_.pop_back();
  }
  for (const int h : loose_) {
    int best = -1;
    double least = std::numeric_limits<double>::infinity();
    for (int g = 0; g < partition_.groups(); ++g) {
      if (partition_.size(g) >= room) continue;
      ++evaluations_;
      const double increase = partition_.cost_with(g, h) - partition_.cost(g);
      if (increase < least || best < 0) {
        least = increase;
        best = g;
      }
    }
    partition_.insert(best, h);
  }
  loose_.clear();
}

void GroupingProblem::repair(Rng& rng) {
  while (partition_.groups() < min_groups_) split_group(rng, true);
}

std::uint64_t GroupingProblem::hash(const Labels& labels) const noexcept {
  std::uint64_t state = labels.groups;
  for (int h = 0; h < heads_; h += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, labels.of.data() + h, sizeof word);
    state ^= word;
    state = splitmix64(state);
  }
  return state;
}

Objectives GroupingProblem::evaluate(const Labels& labels) {
  ++evaluations_;
  const double cost = partition_.cost_of(labels);
  Best& best = archive_[labels.groups];
  if (cost < best.cost || (cost == best.cost && labels.of < best.genome.of)) best = {.cost = cost, .genome = labels};
  return {static_cast<double>(labels.groups), cost};
}

}  // namespace qcqa
