#include "fitness/sharing_cost.hpp"

#include <cstdint>
#include <utility>
#include <vector>

#include "fitness/group_sharing.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

/// Layers of at most this many heads have every set of them priced.
constexpr int kPricedHeads = 8;

using Group = std::vector<std::uint8_t>;

std::vector<Group> all_groups(int heads) {
  std::vector<Group> groups(std::size_t{1} << heads);
  for (std::size_t set = 0; set < groups.size(); ++set) {
    for (int head = 0; head < heads; ++head) {
      if ((set >> head & 1) != 0) groups[set].push_back(static_cast<std::uint8_t>(head));
    }
  }
  return groups;
}

std::vector<Group> all_pairs(int heads) {
  std::vector<Group> pairs;
  for (int j = 1; j < heads; ++j) {
    for (int i = 0; i < j; ++i) pairs.push_back({static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(j)});
  }
  return pairs;
}

/// A pair costs half its distance.
std::vector<double> distances(int heads, const std::vector<double>& prices) {
  const auto n = static_cast<std::size_t>(heads);
  std::vector<double> result(n * n);
  auto price = prices.begin();
  for (std::size_t j = 1; j < n; ++j) {
    for (std::size_t i = 0; i < j; ++i) result[i * n + j] = result[j * n + i] = 2 * *price++;
  }
  return result;
}

}  // namespace

bool SharingCost::has_all_groups(int heads) noexcept { return heads <= kPricedHeads; }

std::size_t SharingCost::table_size(int heads) noexcept {
  const auto n = static_cast<std::size_t>(heads);
  return has_all_groups(heads) ? std::size_t{1} << n : n * (n - 1) / 2;
}

SharingCost::SharingCost(HeadBlocks blocks, MergeKind kind, double scale, std::optional<CostTable> known)
    : blocks_(std::move(blocks)), kind_(kind), scale_(scale), table_(known ? *std::move(known) : price_all()) {
  const int n = heads();
  if (!has_all_groups(n)) pairs_.emplace(n, distances(n, table_.k), distances(n, table_.v));
}

CostParts SharingCost::parts(std::span<const std::uint8_t> members) const noexcept {
  if (!has_all_groups(heads())) return price(members);
  std::size_t set = 0;
  for (const std::uint8_t head : members) set |= std::size_t{1} << head;
  return {.k = table_.k[set], .v = table_.v[set]};
}

CostParts SharingCost::price(std::span<const std::uint8_t> members) const {
  const CostParts parts = sharing_cost(blocks_, members, kind_);
  return {.k = parts.k * scale_, .v = parts.v * scale_};
}

CostTable SharingCost::price_all() const {
  const std::vector<Group> groups = has_all_groups(heads()) ? all_groups(heads()) : all_pairs(heads());
  CostTable table{.k = std::vector<double>(groups.size()), .v = std::vector<double>(groups.size())};
  parallel_for(groups.size(), [&](std::size_t g) {
    if (groups[g].size() < 2) return;
    const CostParts parts = price(groups[g]);
    table.k[g] = parts.k;
    table.v[g] = parts.v;
  });
  return table;
}

}  // namespace qcqa
