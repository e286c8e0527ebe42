#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "qcqa/fitness/group_cost.hpp"
#include "qcqa/plan/plan_limits.hpp"
#include "qcqa/search/layer_search.hpp"
#include "qcqa/support/progress.hpp"

namespace qcqa {

/// How stage 2 may treat a layer (QCQA, arXiv 2406.10247, section 3.3).
enum class Stage2 {
  front,   ///< any grouping of the layer's stage-1 front
  binary,  ///< the paper's bit: keep all heads, or use the one stage-1 grouping with `binary_groups` groups
};

/// How groupings are found.
enum class Strategy {
  automatic,  ///< exact where that is fast, else local search with lower bounds; NSGA-II for costs without structure
  nsga2,      ///< both stages of QCQA by NSGA-II; no bounds
  local,      ///< local search alone: the fastest; no bounds
  exact,      ///< as automatic, but the bounds get all the time they need
  kdgqa,      ///< group sizes by key norms (arXiv 2408.08454) instead of a search
};

/// A row of the table that names, help texts and errors come from.
struct StrategyInfo {
  Strategy strategy{};
  std::string_view name;
  std::string_view help;
};
[[nodiscard]] std::span<const StrategyInfo> strategy_infos() noexcept;
[[nodiscard]] std::string_view strategy_name(Strategy strategy) noexcept;

struct SearchOptions {
  Strategy strategy = Strategy::automatic;
  LayerSearchOptions layer{};  ///< stage 1, and the seed of everything
  bool arbitrary = true;       ///< search groups of any size (AC); stage 2 then chooses from these
  bool equal = true;           ///< search groups of equal size (EC); with neither, only contiguous groups remain
  Stage2 stage2 = Stage2::front;
  int binary_groups = 0;  ///< Stage2::binary only: group count of a grouped layer; 0 = half the heads
                          ///< (equal groups: the largest divisor up to that)
  Nsga2Options model_nsga2{.population = 512, .generations = 500};  ///< stage 2
  bool warm_start = false;         ///< Strategy::nsga2: seed the populations with local-search solutions
  PlanLimits limits{};             ///< of the front; uniform: its plans are those of `uniform`
  std::vector<int> keep_layers{};  ///< layers, from 0, that keep all their heads
  int threads = 0;                 ///< 0 = all; never changes the result
};

/// One choice of a grouping for every layer.
struct ModelPoint {
  int kv_heads = 0;              ///< sum of group counts
  double cost = 0;               ///< sum of layer costs
  Cardinality cardinality{};     ///< class the layers' groupings come from
  std::vector<Grouping> layers;  ///< one per layer
  double lower_bound = 0;        ///< no choice of the class with at most kv_heads costs less; 0 says nothing
  bool proven = false;           ///< bound_gap() is 0
};

struct SearchResult {
  std::vector<LayerFront> layers;
  /// Non-dominated, falling KV size. Its ends are MHA (unless fewer heads lose nothing either) and the smallest size
  /// searched. Empty when interrupted before stage 2.
  std::vector<ModelPoint> front;
  /// Non-dominated among plans with equal groups and one group count for all layers, falling KV size: what stock
  /// runtimes load. From the equal class, or from contiguous groups when that was not searched.
  std::vector<ModelPoint> uniform;
  std::int64_t evaluations = 0;  ///< of groupings and of choices, moves tried included
  StopReason stop = StopReason::completed;
};

/// What groupings of a layer cost where that is not what stage 1 could search by, in their order: finite, 0 or more.
/// Stage 2 then chooses by it. Called for one layer after another, from the first on.
using GroupingCosts = std::function<std::vector<double>(int layer, std::span<const Grouping> groupings)>;

/// The two-stage search over all layers. Pure: the same problem, options and seed give the same result for any thread
/// count. Owns the whole search state, so that an interrupted search can be saved and continued.
class ModelSearch {
 public:
  /// @param costs  one per layer, not owned, must outlive the search
  /// @throws Error(invalid_argument) naming the option that makes no sense
  ModelSearch(std::vector<const GroupCost*> costs, SearchOptions options);
  ModelSearch(ModelSearch&&) noexcept;
  ModelSearch& operator=(ModelSearch&&) noexcept;
  ~ModelSearch();

  /// Runs to the end, or until `progress` returns false or `measure` throws Error(interrupted); then the state is that
  /// after the last whole generation of every layer, or the last layer measured, and run() may be called again. Reports
  /// phases "layers" and "model" in units of generations.
  /// @param measure  asked once about every layer, between the stages; may save(). Without it stage 1's costs count
  /// @throws Error(invalid_argument) when a search that was measured goes on without a measure, or the other way round
  SearchResult run(const ProgressFn& progress = {}, const GroupingCosts& measure = {});

  /// Everything needed to go on, exactly: a continued search gives the same result as an uninterrupted one.
  [[nodiscard]] nlohmann::json save() const;
  /// @throws Error(corrupt) when it is no such state or belongs to other costs or options
  void restore(const nlohmann::json& saved);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qcqa
