#include "qcqa/search/grouping.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <numeric>
#include <string>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

void require_head_count(std::size_t heads) {
  if (heads < 1 || heads > static_cast<std::size_t>(kMaxKvHeads)) {
    throw Error(ErrorKind::invalid_argument, "grouping",
                "must label between 1 and " + std::to_string(kMaxKvHeads) + " heads", std::to_string(heads));
  }
}

// Calls visit(span of ascending members) for each group in order, without allocating.
template <class Visit>
void for_each_group(const Grouping& grouping, Visit visit) {
  const auto labels = grouping.labels();
  std::array<std::uint16_t, kMaxKvHeads + 1> start{};
  for (const auto label : labels) ++start[label + 1u];
  std::partial_sum(start.begin(), start.end(), start.begin());
  std::array<std::uint8_t, kMaxKvHeads> members;
  auto next = start;
  for (std::size_t h = 0; h < labels.size(); ++h) members[next[labels[h]]++] = static_cast<std::uint8_t>(h);
  for (std::size_t g = 0; g < static_cast<std::size_t>(grouping.groups()); ++g) {
    visit(std::span<const std::uint8_t>(members).subspan(start[g], start[g + 1] - start[g]));
  }
}

void require_same_heads(const GroupCost& cost, const Grouping& grouping) {
  if (cost.heads() != grouping.heads()) {
    throw Error(ErrorKind::invalid_argument, "grouping",
                "must label the " + std::to_string(cost.heads()) + " heads of the layer",
                std::to_string(grouping.heads()));
  }
}

}  // namespace

std::string_view cardinality_name(Cardinality c) noexcept {
  switch (c) {
    case Cardinality::arbitrary:
      return "arbitrary";
    case Cardinality::equal:
      return "equal";
    case Cardinality::contiguous:
      return "contiguous";
  }
  return "?";
}

Grouping Grouping::from_labels(std::span<const int> labels) {
  require_head_count(labels.size());
  Grouping result;
  result.labels_.reserve(labels.size());
  std::map<int, std::uint8_t> canonical;
  for (const int label : labels) {
    const auto next = static_cast<std::uint8_t>(canonical.size());
    result.labels_.push_back(canonical.try_emplace(label, next).first->second);
  }
  result.groups_ = static_cast<int>(canonical.size());
  return result;
}

Grouping Grouping::identity(int heads) { return contiguous(heads, heads); }

Grouping Grouping::contiguous(int heads, int groups) {
  require_head_count(heads < 0 ? 0 : static_cast<std::size_t>(heads));
  if (groups < 1 || heads % groups != 0) {
    throw Error(ErrorKind::invalid_argument, "groups", "must divide the " + std::to_string(heads) + " heads",
                std::to_string(groups));
  }
  Grouping result;
  result.groups_ = groups;
  for (int h = 0; h < heads; ++h) result.labels_.push_back(static_cast<std::uint8_t>(h / (heads / groups)));
  return result;
}

std::vector<std::vector<std::uint8_t>> Grouping::members() const {
  std::vector<std::vector<std::uint8_t>> result(static_cast<std::size_t>(groups_));
  for (std::size_t h = 0; h < labels_.size(); ++h) result[labels_[h]].push_back(static_cast<std::uint8_t>(h));
  return result;
}

std::vector<int> Grouping::sizes() const {
  std::vector<int> result(static_cast<std::size_t>(groups_));
  for (const auto label : labels_) ++result[label];
  return result;
}

bool Grouping::has_equal_groups() const {
  const auto all = sizes();
  return std::adjacent_find(all.begin(), all.end(), std::not_equal_to<>()) == all.end();
}

Cardinality Grouping::cardinality() const {
  if (!has_equal_groups()) return Cardinality::arbitrary;
  return std::is_sorted(labels_.begin(), labels_.end()) ? Cardinality::contiguous : Cardinality::equal;
}

double grouping_cost(const GroupCost& cost, const Grouping& grouping) {
  require_same_heads(cost, grouping);
  double total = 0;
  for_each_group(grouping, [&](std::span<const std::uint8_t> members) { total += cost.cost(members); });
  return total;
}

CostParts grouping_cost_parts(const GroupCost& cost, const Grouping& grouping) {
  require_same_heads(cost, grouping);
  CostParts total;
  for_each_group(grouping, [&](std::span<const std::uint8_t> members) {
    const CostParts parts = cost.parts(members);
    total.k += parts.k;
    total.v += parts.v;
  });
  return total;
}

}  // namespace qcqa
