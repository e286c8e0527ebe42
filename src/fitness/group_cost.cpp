#include "qcqa/fitness/group_cost.hpp"

#include <array>
#include <numeric>
#include <string>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

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
