#include "search/search_options.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "qcqa/support/error.hpp"
#include "search/evolution/model_stage.hpp"
#include "search/kdgqa.hpp"
#include "search/layer_solver.hpp"

namespace qcqa {
namespace {

constexpr std::array<StrategyInfo, 5> kStrategies = {{
    {Strategy::automatic, "auto", "exact where fast, else local search with proven bounds"},
    {Strategy::nsga2, "nsga2", "the paper's evolutionary search, no bounds"},
    {Strategy::local, "local", "local search alone, no bounds"},
    {Strategy::exact, "exact", "as auto, with all the time the bounds need"},
    {Strategy::kdgqa, "kdgqa", "contiguous groups, sizes by key norms, no search"},
}};

constexpr int kMaxPopulation = 1 << 20;

void require(bool holds, const std::string& option, const std::string& rule, const std::string& found,
             const std::string& fix = {}) {
  if (!holds) throw Error(ErrorKind::invalid_argument, option, rule, found, fix);
}

void require_valid(const Nsga2Options& options, const std::string& stage) {
  require(options.population >= 4 && options.population % 2 == 0 && options.population <= kMaxPopulation,
          stage + " population", "must be even and from 4 to " + std::to_string(kMaxPopulation),
          std::to_string(options.population));
  require(options.generations >= 0, stage + " generations", "must not be negative",
          std::to_string(options.generations));
  const auto probability = [&](double p, const char* name) {
    require(p >= 0 && p <= 1, stage + " " + name, "must be from 0 to 1", fmt::format("{}", p));
  };
  probability(options.crossover_probability, "crossover probability");
  probability(options.mutation_probability, "mutation probability");
}

std::string layer_name(std::size_t layer) { return "layer " + std::to_string(layer); }

void require_strategy(Strategy strategy, const GroupCost& cost, const std::string& layer) {
  if (strategy == Strategy::local || strategy == Strategy::exact) {
    require(is_solvable(cost, strategy), layer, "this strategy needs a cost made of distances between heads",
            "a cost without that structure", "Use the strategy nsga2 or auto.");
  }
  if (strategy == Strategy::kdgqa) {
    require(with_key_norms(cost) != nullptr, layer, "the strategy kdgqa needs the norms of the keys",
            "a cost without them");
  }
}

bool has_allowed_count(const SearchOptions& options, int layer, int heads) {
  const GroupRange range = group_range(options.layer, heads);
  const bool kept = is_kept(options, layer);
  const bool all_heads = kept || options.stage2 == Stage2::binary || range.max == heads;
  if (all_heads && options.limits.allows(heads, heads, true)) return true;
  if (kept) return false;
  if (options.stage2 == Stage2::binary) {
    const std::optional<int> groups = binary_group_count(options, heads);
    return !groups ||
           options.limits.allows(*groups, heads, heads % *groups == 0);  // without one there is another error
  }
  const bool any_size = chosen_class(options) == Cardinality::arbitrary;
  for (int groups = range.min; groups <= range.max; ++groups) {
    const bool equal = heads % groups == 0;
    if ((any_size || equal) && options.limits.allows(groups, heads, equal)) return true;
  }
  return false;
}

nlohmann::json to_json(const Nsga2Options& options) {
  return {{"population", options.population},
          {"generations", options.generations},
          {"crossover_probability", options.crossover_probability},
          {"mutation_probability", options.mutation_probability}};
}

}  // namespace

std::span<const StrategyInfo> strategy_infos() noexcept { return kStrategies; }

std::string_view strategy_name(Strategy strategy) noexcept {
  return std::ranges::find(kStrategies, strategy, &StrategyInfo::strategy)->name;
}

void require_valid(const SearchOptions& options, std::span<const int> heads) {
  require(!heads.empty(), "layers", "there must be at least one layer to search", "none");
  require_valid(options.layer.nsga2, "layer");
  require_valid(options.model_nsga2, "model");
  const int min = options.layer.min_groups, max = options.layer.max_groups;
  require(min >= 1, "min groups", "must be at least 1", std::to_string(min));
  require(max == 0 || max >= min, "max groups", "must be 0 (no limit) or at least min groups, " + std::to_string(min),
          std::to_string(max));
  const int most = *std::ranges::max_element(heads);
  require(min <= most, "min groups", "must be at most the number of KV heads, " + std::to_string(most),
          std::to_string(min));
  require(options.limits.tensor_parallel >= 1, "tensor parallel", "must be at least 1",
          std::to_string(options.limits.tensor_parallel));
  require(options.threads >= 0, "threads", "must be 0 (all) or more", std::to_string(options.threads));
  require(options.binary_groups >= 0, "binary groups", "must be 0 (half the heads) or more",
          std::to_string(options.binary_groups));
  require(!options.warm_start || options.strategy == Strategy::nsga2, "warm start", "needs the strategy nsga2",
          "another strategy", "The others start from local search anyway.");
  require(!options.limits.is_uniform() || options.keep_layers.empty(), "uniform",
          "leaves no choice when layers keep all their heads",
          std::to_string(options.keep_layers.size()) + " kept layers");
  for (const int kept : options.keep_layers) {
    require(kept >= 0 && static_cast<std::size_t>(kept) < heads.size(), "keep layers",
            "must be from 0 to " + std::to_string(heads.size() - 1), std::to_string(kept));
  }
  for (std::size_t l = 0; l < heads.size(); ++l) {
    const std::string layer = layer_name(l);
    require(heads[l] >= 1 && heads[l] <= kMaxKvHeads, layer,
            "must have between 1 and " + std::to_string(kMaxKvHeads) + " heads", std::to_string(heads[l]));
    require(has_allowed_count(options, static_cast<int>(l), heads[l]), "tensor parallel",
            "must be a multiple or a divisor of a group count that " + layer + " of " + std::to_string(heads[l]) +
                " heads may have",
            std::to_string(options.limits.tensor_parallel));
    if (options.stage2 != Stage2::binary) continue;
    require(binary_group_count(options, heads[l]).has_value(), "binary groups",
            "must be a group count searched in " + layer + " of " + std::to_string(heads[l]) + " heads",
            std::to_string(options.binary_groups),
            "Choose one within min and max groups; equal groups need a divisor.");
  }
}

void require_valid(const SearchOptions& options, const std::vector<const GroupCost*>& costs) {
  std::vector<int> heads;
  for (std::size_t l = 0; l < costs.size(); ++l) {
    require(costs[l] != nullptr, layer_name(l), "needs a cost", "none");
    heads.push_back(costs[l]->heads());
  }
  require_valid(options, heads);
  for (std::size_t l = 0; l < costs.size(); ++l) {
    std::vector<std::uint8_t> all(static_cast<std::size_t>(heads[l]));
    std::iota(all.begin(), all.end(), std::uint8_t{0});
    const double most = costs[l]->cost(all);
    require(std::isfinite(most) && most >= 0, layer_name(l), "the cost of one group must be finite and not negative",
            std::to_string(most), "Look for weights that are not finite.");
    require_strategy(options.strategy, *costs[l], layer_name(l));
  }
}

nlohmann::json options_to_json(const SearchOptions& options) {
  return {{"nsga2", to_json(options.layer.nsga2)},
          {"min_groups", options.layer.min_groups},
          {"max_groups", options.layer.max_groups},
          {"seed", options.layer.seed},
          {"arbitrary", options.arbitrary},
          {"equal", options.equal},
          {"stage2", options.stage2 == Stage2::front ? "front" : "binary"},
          {"binary_groups", options.binary_groups},
          {"model_nsga2", to_json(options.model_nsga2)},
          {"strategy", static_cast<int>(options.strategy)},
          {"warm_start", options.warm_start},
          {"uniform", options.limits.is_uniform()},
          {"divisors", options.limits.divisors},
          {"tensor_parallel", options.limits.tensor_parallel},
          {"keep_layers", options.keep_layers}};
}

}  // namespace qcqa
