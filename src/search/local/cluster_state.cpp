#include "search/local/cluster_state.hpp"

#include <algorithm>

namespace qcqa {

ClusterState::ClusterState(int heads, std::span<const double> distances)
    : heads_(heads),
      distances_(distances),
      inverse_(at(heads) + 1),
      label_(at(heads)),
      size_(at(heads)),
      reach_(at(heads) * at(heads)),
      inside_(at(heads)) {
  for (int s = 1; s <= heads; ++s) inverse_[at(s)] = 1.0 / s;
}

double ClusterState::cost() const noexcept {
  double total = 0;
  for (int g = 0; g < groups_; ++g) total += cost(g);
  return total;
}

void ClusterState::load(std::span<const int> labels, int groups) {
  groups_ = groups;
  std::copy(labels.begin(), labels.end(), label_.begin());
  std::fill(size_.begin(), size_.end(), 0);
  std::fill_n(reach_.begin(), at(groups) * at(heads_), 0.0);
  std::fill(inside_.begin(), inside_.end(), 0.0);
  for (int h = 0; h < heads_; ++h) {
    const int g = group_of(h);
    inside_[at(g)] += reach(g, h);
    shift_reach(g, h, 1);
    ++size_[at(g)];
  }
}

void ClusterState::shift_reach(int g, int h, double sign) noexcept {
  double* row = reach_.data() + at(g) * at(heads_);
  const double* d = distances_.data() + at(h) * at(heads_);
  for (int i = 0; i < heads_; ++i) row[i] += sign * d[i];
}

void ClusterState::move(int h, int to) noexcept {
  const int from = group_of(h);
  inside_[at(from)] = size(from) <= 2 ? 0 : inside_[at(from)] - reach(from, h);
  inside_[at(to)] += reach(to, h);
  shift_reach(from, h, -1);
  shift_reach(to, h, 1);
  --size_[at(from)];
  ++size_[at(to)];
  label_[at(h)] = to;
}

void ClusterState::swap(int a, int b) noexcept {
  const int ga = group_of(a), gb = group_of(b);
  const double d = distance(a, b);
  inside_[at(ga)] += reach(ga, b) - reach(ga, a) - d;
  inside_[at(gb)] += reach(gb, a) - reach(gb, b) - d;
  if (size(ga) == 1) inside_[at(ga)] = 0;
  if (size(gb) == 1) inside_[at(gb)] = 0;
  double* row_a = reach_.data() + at(ga) * at(heads_);
  double* row_b = reach_.data() + at(gb) * at(heads_);
  const double* from_a = distances_.data() + at(a) * at(heads_);
  const double* from_b = distances_.data() + at(b) * at(heads_);
  for (int i = 0; i < heads_; ++i) {
    const double change = from_b[i] - from_a[i];
    row_a[i] += change;
    row_b[i] -= change;
  }
  std::swap(label_[at(a)], label_[at(b)]);
}

double ClusterState::merge_change(int a, int b) const noexcept {
  double between = 0;
  for (int h = 0; h < heads_; ++h) {
    if (group_of(h) == b) between += reach(a, h);
  }
  return (inside_[at(a)] + inside_[at(b)] + between) * inverse_[at(size(a) + size(b))] - cost(a) - cost(b);
}

void ClusterState::merge(int into, int from) noexcept {
  for (int h = 0; h < heads_; ++h) {
    if (group_of(h) == from) move(h, into);
  }
  const int last = --groups_;
  if (from == last) return;
  for (int& label : label_) {
    if (label == last) label = from;
  }
  size_[at(from)] = size(last);
  inside_[at(from)] = inside_[at(last)];
  std::copy_n(reach_.begin() + last * heads_, heads_, reach_.begin() + from * heads_);
}

void ClusterState::split_off(int h) noexcept {
  const int g = groups_++;
  size_[at(g)] = 0;
  inside_[at(g)] = 0;
  std::fill_n(reach_.begin() + g * heads_, heads_, 0.0);
  move(h, g);
}

}  // namespace qcqa
