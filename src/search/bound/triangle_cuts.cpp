#include "search/bound/triangle_cuts.hpp"

#include <algorithm>
#include <tuple>

namespace qcqa {
namespace {

constexpr double kLeastViolation = 1e-3;

std::tuple<int, int, int> key(const TriangleCuts::Cut& cut) { return {cut.i, cut.j, cut.k}; }

}  // namespace

void TriangleCuts::separate(const std::vector<double>& z, bool pairs, int most) {
  std::erase_if(cuts_, [](const Cut& cut) { return cut.multiplier <= 0; });
  std::sort(cuts_.begin(), cuts_.end(), [](const Cut& a, const Cut& b) { return key(a) < key(b); });
  const auto n = static_cast<std::size_t>(heads_);
  violated_.clear();
  const auto consider = [&](double amount, int i, int j, int k) {
    if (amount <= kLeastViolation) return;
    const Cut cut{i, j, k, 0};
    const auto known =
        std::lower_bound(cuts_.begin(), cuts_.end(), cut, [](const Cut& a, const Cut& b) { return key(a) < key(b); });
    if (known == cuts_.end() || key(*known) != key(cut)) violated_.push_back({amount, cut});
  };
  for (int i = 0; i < heads_; ++i) {
    const double* row = z.data() + static_cast<std::size_t>(i) * n;
    for (int j = 0; j < heads_; ++j) {
      if (j == i) continue;
      const double pair = row[j] - row[i];
      if (pairs) consider(pair, i, j, -1);
      if (row[j] <= kLeastViolation) continue;
      const double* other = z.data() + static_cast<std::size_t>(j) * n;
      for (int k = j + 1; k < heads_; ++k) {
        if (k != i && pair + row[k] - other[k] > kLeastViolation) consider(pair + row[k] - other[k], i, j, k);
      }
    }
  }
  const auto count = std::min(violated_.size(), static_cast<std::size_t>(most));
  std::partial_sort(violated_.begin(), violated_.begin() + static_cast<std::ptrdiff_t>(count), violated_.end(),
                    [](const Violation& a, const Violation& b) {
                      return a.amount != b.amount ? a.amount > b.amount : key(a.cut) < key(b.cut);
                    });
  for (std::size_t v = 0; v < count; ++v) cuts_.push_back(violated_[v].cut);
}

void TriangleCuts::rescale(double factor) {
  for (Cut& cut : cuts_) cut.multiplier *= factor;
}

void TriangleCuts::add(std::vector<double>& matrix, const Cut& cut, double amount) const {
  const auto symmetric = [&](int a, int b, double part) {
    matrix[static_cast<std::size_t>(a * heads_ + b)] += part / 2;
    matrix[static_cast<std::size_t>(b * heads_ + a)] += part / 2;
  };
  symmetric(cut.i, cut.j, amount);
  symmetric(cut.i, cut.i, -amount);
  if (cut.k < 0) return;
  symmetric(cut.i, cut.k, amount);
  symmetric(cut.j, cut.k, -amount);
}

}  // namespace qcqa
