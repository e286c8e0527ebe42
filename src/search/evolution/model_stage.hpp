#pragma once

#include <optional>
#include <vector>

#include "qcqa/search/model_search.hpp"
#include "search/evolution/model_problem.hpp"

namespace qcqa {

/// The group counts searched in a layer of this many heads.
struct GroupRange {
  int min = 1;
  int max = 1;
};
[[nodiscard]] GroupRange group_range(const LayerSearchOptions& options, int heads) noexcept;

/// Whether the layer keeps all its heads.
[[nodiscard]] bool is_kept(const SearchOptions& options, int layer) noexcept;

/// Stage2::binary: the group count of a grouped layer, or nothing when no grouping of the class has it.
[[nodiscard]] std::optional<int> binary_group_count(const SearchOptions& options, int heads) noexcept;

/// The widest class that was searched: its groupings are what stage 2 chooses from, since it contains the others.
[[nodiscard]] Cardinality chosen_class(const SearchOptions& options) noexcept;

/// What stage 2 may choose from, as numbers for a solver and as groupings for the result. Any solver of ModelProblem
/// or of its options can stand between.
class ModelStage {
 public:
  /// @param layers  not owned, must stay where they are
  ModelStage(const std::vector<LayerFront>& layers, const SearchOptions& options);

  [[nodiscard]] ModelProblem problem() const;
  /// The non-dominated points of an archive, by falling KV size.
  [[nodiscard]] std::vector<ModelPoint> front(const std::vector<ModelProblem::Best>& archive) const;
  /// The non-dominated plans with equal groups and one group count for all layers, by falling KV size.
  [[nodiscard]] std::vector<ModelPoint> uniform() const;

 private:
  [[nodiscard]] std::vector<double> lower_bounds() const;

  const std::vector<LayerFront>* layers_;
  const SearchOptions* options_;
  std::vector<std::vector<const LayerGrouping*>> choices_;  // per layer, rising in groups, falling in cost
};

}  // namespace qcqa
