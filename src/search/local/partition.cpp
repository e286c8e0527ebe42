#include "search/local/partition.hpp"

#include <algorithm>

namespace qcqa {

Partition::Partition(const GroupCost& cost)
    : cost_function_(&cost),
      heads_(cost.heads()),
      members_(at(heads_) * at(heads_)),
      size_(at(heads_)),
      group_of_(at(heads_)),
      cost_(at(heads_)),
      scratch_(at(heads_)) {}

int Partition::open() noexcept {
  size_[at(groups_)] = 0;
  cost_[at(groups_)] = 0;
  return groups_++;
}

void Partition::close(int g) noexcept {
  const int last = --groups_;
  if (g == last) return;
  std::copy_n(begin(last), size(last), begin(g));
  size_[at(g)] = size_[at(last)];
  cost_[at(g)] = cost_[at(last)];
  for (const auto h : members(g)) group_of_[h] = g;
}

void Partition::insert(int g, int h) noexcept {
  std::uint8_t* first = begin(g);
  int i = size_[at(g)]++;
  for (; i > 0 && first[i - 1] > h; --i) first[i] = first[i - 1];
  first[i] = static_cast<std::uint8_t>(h);
  group_of_[at(h)] = g;
  cost_[at(g)] = size(g) == 1 ? 0 : kUnknown;
}

void Partition::erase(int h) noexcept {
  const int g = group_of(h);
  std::uint8_t* first = begin(g);
  std::uint8_t* last = first + size(g);
  std::uint8_t* hole = std::find(first, last, static_cast<std::uint8_t>(h));
  std::copy(hole + 1, last, hole);
  --size_[at(g)];
  cost_[at(g)] = size(g) <= 1 ? 0 : kUnknown;
}

void Partition::move(int h, int to) noexcept {
  erase(h);
  insert(to, h);
}

void Partition::swap(int a, int b) noexcept {
  const int to_b = group_of(a), to_a = group_of(b);
  move(a, to_a);
  move(b, to_b);
}

void Partition::merge(int into, int from) noexcept {
  for (const auto h : members(from)) insert(into, h);
  size_[at(from)] = 0;
  close(from);
}

void Partition::load(const Labels& labels) noexcept {
  groups_ = labels.groups;
  std::fill_n(size_.begin(), groups_, 0);
  for (int h = 0; h < heads_; ++h) {
    const int g = labels.of[at(h)];
    begin(g)[size_[at(g)]++] = static_cast<std::uint8_t>(h);
    group_of_[at(h)] = g;
  }
  for (int g = 0; g < groups_; ++g) cost_[at(g)] = size(g) == 1 ? 0 : kUnknown;
}

void Partition::store(Labels& labels) const noexcept {
  std::array<std::int16_t, kMaxKvHeads> canonical;
  canonical.fill(-1);
  std::int16_t next = 0;
  labels.of.fill(0);
  for (int h = 0; h < heads_; ++h) {
    auto& label = canonical[at(group_of(h))];
    if (label < 0) label = next++;
    labels.of[at(h)] = static_cast<std::uint8_t>(label);
  }
  labels.groups = static_cast<std::uint16_t>(next);
}

double Partition::evaluate(std::size_t size) noexcept {
  if (size < 2) return 0;
  ++cost_calls_;
  return cost_function_->cost({scratch_.data(), size});
}

double Partition::cost(int g) noexcept {
  double& known = cost_[at(g)];
  if (known == kUnknown) {
    ++cost_calls_;
    known = cost_function_->cost(members(g));
  }
  return known;
}

double Partition::cost_with(int g, int h) noexcept {
  const auto group = members(g);
  const auto head = static_cast<std::uint8_t>(h);
  std::size_t i = 0;
  for (; i < group.size() && group[i] < head; ++i) scratch_[i] = group[i];
  scratch_[i] = head;
  for (; i < group.size(); ++i) scratch_[i + 1] = group[i];
  return evaluate(group.size() + 1);
}

double Partition::cost_without(int g, int h) noexcept {
  std::size_t size = 0;
  for (const auto member : members(g)) {
    scratch_[size] = member;
    size += member != h;
  }
  return evaluate(size);
}

double Partition::cost_exchanged(int g, int out, int in) noexcept {
  std::size_t size = 0;
  bool placed = false;
  for (const auto member : members(g)) {
    if (!placed && member > in) {
      scratch_[size++] = static_cast<std::uint8_t>(in);
      placed = true;
    }
    if (member != out) scratch_[size++] = member;
  }
  if (!placed) scratch_[size++] = static_cast<std::uint8_t>(in);
  return evaluate(size);
}

double Partition::cost_merged(int a, int b) noexcept {
  const auto x = members(a), y = members(b);
  std::merge(x.begin(), x.end(), y.begin(), y.end(), scratch_.begin());
  return evaluate(x.size() + y.size());
}

double Partition::cost_of_pair(int a, int b) noexcept {
  scratch_[0] = static_cast<std::uint8_t>(std::min(a, b));
  scratch_[1] = static_cast<std::uint8_t>(std::max(a, b));
  return evaluate(2);
}

double Partition::cost_of(const Labels& labels) noexcept {
  load(labels);
  double total = 0;
  for (int g = 0; g < groups_; ++g) total += cost(g);
  return total;
}

Labels to_labels(const Grouping& grouping) {
  Labels labels;
  std::copy(grouping.labels().begin(), grouping.labels().end(), labels.of.begin());
  labels.groups = static_cast<std::uint16_t>(grouping.groups());
  return labels;
}

Grouping to_grouping(const Labels& labels, int heads) {
  std::vector<int> wide(labels.of.begin(), labels.of.begin() + heads);
  return Grouping::from_labels(wide);
}

}  // namespace qcqa
