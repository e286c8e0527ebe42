#include "support/nearest.hpp"

#include <algorithm>
#include <vector>

#include "support/in_quotes.hpp"

namespace qcqa {

std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit) return limit + 1;
  // row[i] = distance between the first i characters of a and the part of b seen so far.
  std::vector<std::size_t> row(a.size() + 1);
  for (std::size_t i = 0; i < row.size(); ++i) row[i] = i;
  for (std::size_t j = 0; j < b.size(); ++j) {
    std::size_t diagonal = row[0];
    row[0] = j + 1;
    std::size_t smallest = row[0];
    for (std::size_t i = 1; i < row.size(); ++i) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j] ? 0 : 1);
      diagonal = row[i];
      row[i] = std::min({replaced, row[i] + 1, row[i - 1] + 1});
      smallest = std::min(smallest, row[i]);
    }
    if (smallest > limit) return limit + 1;
  }
  return std::min(row.back(), limit + 1);
}

std::optional<std::string_view> nearest_name(std::string_view wanted, std::span<const std::string_view> candidates) {
  std::size_t limit = std::max<std::size_t>(2, wanted.size() / 3);
  std::optional<std::string_view> best;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(wanted, candidate, limit);
    if (distance > limit) continue;
    best = candidate;
    if (distance == 0) break;
    limit = distance - 1;  // only a closer one is of interest from here on
  }
  return best;
}

std::string did_you_mean(std::string_view wanted, std::span<const std::string_view> candidates) {
  const auto name = nearest_name(wanted, candidates);
  if (!name) return {};
  return "Did you mean " + in_quotes(*name) + "?";
}

}  // namespace qcqa
