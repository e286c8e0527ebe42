#include "search/exact/subset_search.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "support/vector_clones.hpp"

namespace qcqa {
namespace {

using Set = std::uint32_t;
constexpr double kNone = std::numeric_limits<double>::infinity();

std::size_t count(Set s) { return static_cast<std::size_t>(std::popcount(s)); }

std::vector<double> all_costs(const GroupCost& cost) {
  const int n = cost.heads();
  std::vector<double> costs(std::size_t{1} << n);
  std::array<std::uint8_t, kMaxSubsetHeads> members{};
  for (Set s = 1; s < costs.size(); ++s) {
    std::size_t size = 0;
    for (Set rest = s; rest != 0; rest &= rest - 1) members[size++] = static_cast<std::uint8_t>(std::countr_zero(rest));
    costs[s] = cost.cost({members.data(), size});
  }
  return costs;
}

// best[s * stride + p]: least cost of s in p groups. Only sets without head 0 are needed as rests, and the full set.
QCQA_VECTOR_CLONES
void solve_set(Set s, std::size_t stride, const double* cost, double* best) {
  const Set first = s & (~s + 1), rest = s ^ first;
  double* row = best + s * stride;
  row[1] = cost[s];
  for (Set other = rest; other != 0; other = (other - 1) & rest) {  // what the first head's group leaves
    const double group = cost[s ^ other];
    const double* left = best + other * stride;
    const std::size_t most = count(other);
    for (std::size_t p = 1; p <= most; ++p) row[p + 1] = std::min(row[p + 1], group + left[p]);
  }
}

// Walks back: the group of the first head is one that explains the value.
template <class Explains>
std::vector<int> labels_of(int heads, Set s, std::size_t groups, Explains explains) {
  std::vector<int> labels(static_cast<std::size_t>(heads), 0);
  const auto assign = [&](Set group, int label) {
    for (; group != 0; group &= group - 1) labels[static_cast<std::size_t>(std::countr_zero(group))] = label;
  };
  int label = 0;
  for (; groups > 1; --groups) {
    const Set rest = s & (s - 1);
    Set other = rest;
    while (other != 0 && !explains(s, other, groups)) other = (other - 1) & rest;
    assign(s ^ other, label++);
    s = other;
  }
  assign(s, label);
  return labels;
}

// Groups of one size: best[s] alone, since the size of s tells the number of groups.
void solve_equal(int heads, std::size_t size, const std::vector<double>& cost, SubsetSearch& result) {
  const auto full = static_cast<Set>(cost.size() - 1);
  const std::size_t groups = static_cast<std::size_t>(heads) / size;
  std::vector<double> best(cost.size(), kNone);
  for (Set s = 1; s <= full; ++s) {
    if (count(s) % size != 0 || ((s & 1) != 0 && s != full)) continue;
    if (count(s) == size) {
      best[s] = cost[s];
      continue;
    }
    const Set first = s & (~s + 1), rest = s ^ first;
    // Companions of the first head, in Gosper's order, spread over the bits of the rest.
    const std::size_t bits = count(rest), wanted = size - 1;
    std::array<Set, kMaxSubsetHeads> bit{};
    std::size_t filled = 0;
    for (Set left = rest; left != 0; left &= left - 1) bit[filled++] = left & (~left + 1);
    for (Set pick = (Set{1} << wanted) - 1; pick < (Set{1} << bits);) {
      Set group = first;
      for (Set p = pick; p != 0; p &= p - 1) group |= bit[static_cast<std::size_t>(std::countr_zero(p))];
      best[s] = std::min(best[s], cost[group] + best[s ^ group]);
      if (pick == 0) break;
      const Set low = pick & (~pick + 1), ripple = pick + low;
      pick = (((ripple ^ pick) >> 2) / low) | ripple;
    }
  }
  result.equal[groups] = labels_of(heads, full, groups, [&](Set s, Set other, std::size_t) {
    return count(s ^ other) == size && cost[s ^ other] + best[other] == best[s];
  });
}

}  // namespace

SubsetSearch subset_search(const GroupCost& cost, bool arbitrary, bool equal) {
  const int heads = cost.heads();
  const auto n = static_cast<std::size_t>(heads);
  const std::vector<double> costs = all_costs(cost);
  const auto full = static_cast<Set>(costs.size() - 1);
  SubsetSearch result{std::vector<std::vector<int>>(n + 1), std::vector<std::vector<int>>(n + 1)};
  if (arbitrary) {
    const std::size_t stride = n + 1;
    std::vector<double> best(costs.size() * stride, kNone);
    for (Set s = 2; s < full; s += 2) solve_set(s, stride, costs.data(), best.data());
    solve_set(full, stride, costs.data(), best.data());
    for (std::size_t p = 1; p <= n; ++p) {
      result.arbitrary[p] = labels_of(heads, full, p, [&](Set s, Set other, std::size_t groups) {
        return costs[s ^ other] + best[other * stride + groups - 1] == best[s * stride + groups];
      });
    }
  }
  if (equal) {
    for (std::size_t size = 1; size <= n; ++size) {
      if (n % size == 0) solve_equal(heads, size, costs, result);
    }
  }
  return result;
}

}  // namespace qcqa
