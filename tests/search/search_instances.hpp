#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "qcqa/fitness/pairwise_cost.hpp"
#include "qcqa/plan/grouping.hpp"
#include "search/evolution/model_problem.hpp"
#include "search/rng.hpp"

namespace qcqa::test {

/// In [0, 1).
[[nodiscard]] double uniform(Rng& rng);

/// Heads at random points of a few dimensions: distances as real ones (triangle inequality, Euclidean).
[[nodiscard]] PairwiseCost random_cost(Rng& rng, int heads, int dimensions = 4);

/// Distances of one of many kinds (taken modulo), nice and nasty: metric and not, ties and near-ties, zeros, huge
/// differences of scale.
inline constexpr int kNastyKinds = 10;
[[nodiscard]] std::vector<double> nasty_distances(Rng& rng, int n, int kind);

/// The layers of stories15M's keys and values, or nothing when the shared files are not at hand.
[[nodiscard]] std::optional<std::vector<PairwiseCost>> stories15m_costs();

/// One layer of the shared CodeLlama-13B distances, or nothing.
[[nodiscard]] std::optional<PairwiseCost> codellama_cost(const std::string& layer);

[[nodiscard]] std::vector<const GroupCost*> pointers(const std::vector<PairwiseCost>& costs);

/// Calls visit for every partition of the heads (as canonical labels).
void for_each_partition(int heads, const std::function<void(const Grouping&)>& visit);

/// The least cost at every total number of groups up to index (infinity where there is none): exact, by dynamic
/// programming over layers.
[[nodiscard]] std::vector<double> best_by_total(const std::vector<std::vector<LayerOption>>& options);

}  // namespace qcqa::test
