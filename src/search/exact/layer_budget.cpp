#include "search/exact/layer_budget.hpp"

#include <cstdint>
#include <limits>

namespace qcqa {

std::vector<ModelProblem::Best> best_by_budget(const std::vector<std::vector<LayerOption>>& options) {
  constexpr double kNone = std::numeric_limits<double>::infinity();
  std::vector<double> best{0.0};
  std::vector<std::vector<std::uint8_t>> chosen;  // per layer, by total so far
  for (const auto& layer : options) {
    const std::size_t totals = best.size() + static_cast<std::size_t>(layer.back().groups);
    std::vector<double> next(totals, kNone);
    auto& choice = chosen.emplace_back(totals, std::uint8_t{0});
    for (std::size_t o = 0; o < layer.size(); ++o) {
      const auto groups = static_cast<std::size_t>(layer[o].groups);
      for (std::size_t total = 0; total < best.size(); ++total) {
        const double cost = best[total] + layer[o].cost;
        if (cost < next[total + groups]) {
          next[total + groups] = cost;
          choice[total + groups] = static_cast<std::uint8_t>(o);
        }
      }
    }
    best = std::move(next);
  }
  std::vector<ModelProblem::Best> result(best.size());
  for (std::size_t total = 0; total < best.size(); ++total) {
    if (best[total] == kNone) continue;
    result[total].cost = best[total];
    result[total].genome.resize(options.size());
    std::size_t left = total;
    for (std::size_t l = options.size(); l-- > 0;) {
      const std::uint8_t o = chosen[l][left];
      result[total].genome[l] = o;
      left -= static_cast<std::size_t>(options[l][o].groups);
    }
  }
  return result;
}

}  // namespace qcqa
