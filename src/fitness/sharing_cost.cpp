#include "fitness/sharing_cost.hpp"

#include <array>
#include <utility>

#include "fitness/group_sharing.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

/// Layers of at most this many heads have every set of them priced.
constexpr int kPricedHeads = 8;

}  // namespace

SharingCost::SharingCost(HeadBlocks blocks, MergeKind kind, double scale)
    : blocks_(std::move(blocks)), kind_(kind), scale_(scale) {
  if (blocks_.heads <= kPricedHeads) {
    price_all();
  } else {
    price_pairs();
  }
}

CostParts SharingCost::parts(std::span<const std::uint8_t> members) const noexcept {
  if (prices_.empty()) return price(members);
  std::size_t set = 0;
  for (const std::uint8_t head : members) set |= std::size_t{1} << head;
  return prices_[set];
}

CostParts SharingCost::price(std::span<const std::uint8_t> members) const {
  const CostParts parts = sharing_cost(blocks_, members, kind_);
  return {.k = parts.k * scale_, .v = parts.v * scale_};
}

void SharingCost::price_all() {
  std::vector<CostParts> prices(std::size_t{1} << blocks_.heads);
  parallel_for(prices.size(), [&](std::size_t set) {
    std::vector<std::uint8_t> members;
    for (int head = 0; head < blocks_.heads; ++head) {
      if ((set >> head & 1) != 0) members.push_back(static_cast<std::uint8_t>(head));
    }
    if (members.size() > 1) prices[set] = price(members);
  });
  prices_ = std::move(prices);
}

void SharingCost::price_pairs() {
  const auto n = static_cast<std::size_t>(blocks_.heads);
  std::vector<std::array<std::uint8_t, 2>> pairs;
  for (std::size_t j = 1; j < n; ++j) {
    for (std::size_t i = 0; i < j; ++i) pairs.push_back({static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(j)});
  }
  std::vector<double> keys(n * n);
  std::vector<double> values(n * n);
  parallel_for(pairs.size(), [&](std::size_t p) {
    const auto [i, j] = pairs[p];
    const CostParts parts = price(pairs[p]);
    // A pair costs half its distance.
    keys[i * n + j] = keys[j * n + i] = 2 * parts.k;
    values[i * n + j] = values[j * n + i] = 2 * parts.v;
  });
  pairs_.emplace(blocks_.heads, std::move(keys), std::move(values));
}

}  // namespace qcqa
