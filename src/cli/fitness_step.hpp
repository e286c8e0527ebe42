#pragma once

#include <CLI/CLI.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/calibration.hpp"
#include "cli/console.hpp"
#include "qcqa/fitness/group_cost.hpp"
#include "qcqa/fitness/merge_kind.hpp"
#include "qcqa/search/model_search.hpp"
#include "qcqa/support/device.hpp"

namespace qcqa::cli {

/// What a search minimises.
enum class Fitness { wse, aligned, subspace, measured };

[[nodiscard]] std::string_view fitness_name(Fitness fitness);
/// In which unit its costs are.
[[nodiscard]] std::string fitness_unit(Fitness fitness, bool calibrated);

/// --fitness.
struct FitnessFlags {
  std::string fitness = "auto";

  void add_to(CLI::App& command);
  /// @param merge  how heads will be merged, when that is known: what it loses is the fitness unless another is named
  /// @throws Error(invalid_argument)
  [[nodiscard]] Fitness resolve(std::optional<MergeKind> merge = std::nullopt) const;
};

/// @throws Error(invalid_argument) when a calibration is given that neither merge nor fitness looks at, or none where
/// the
///         fitness needs one
void require_use_of(const CalibrationFlags& calibration, std::optional<MergeKind> merge, Fitness fitness);

/// The costs of a model's layers.
struct LayerCosts {
  Fitness fitness{};
  bool calibrated = false;
  std::vector<std::unique_ptr<GroupCost>> costs;
  double seconds = 0;  ///< that it took
  LayerJudge judge{};  ///< of Fitness::measured

  [[nodiscard]] std::vector<const GroupCost*> pointers() const;
};

/// The model and the calibration must outlive the result. @throws Error(interrupted)
[[nodiscard]] LayerCosts compute_costs(const Model& model, Fitness fitness, const TokenSequences& calibration,
                                       const ForwardOptions& forward, const Device& device, Console& console);

}  // namespace qcqa::cli
