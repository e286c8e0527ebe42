#pragma once

#include <memory>
#include <vector>

#include "qcqa/fitness/group_cost.hpp"
#include "qcqa/fitness/merge_method.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/statistics/input_statistics.hpp"
#include "qcqa/support/progress.hpp"

namespace qcqa {

/// What a layer's cost is made from, keys and values: numbers that take long to compute and little to keep.
struct CostTable {
  std::vector<double> k, v;  ///< equally many
};

/// What an aligned or subspace merge of heads would lose, for a search to minimise: one cost per layer. In values, the
/// mean square of what the output projection gets wrong; in keys, the error of the attention scores as a share of their
/// mean square, times the mean square of the attention's output. With calibration tokens, inputs count as often as they
/// occur, and all is a share of the square of the layer's residual stream (harmonic mean over tokens); without, every
/// input direction counts alike. Inner products are taken once per layer; memory holds one layer's weights.
/// @param kind  aligned or subspace
/// @param tables  of all layers: those of an earlier call for the same, or empty, to be filled
/// @throws Error(unsupported) when the family's forward pass is not known and there is calibration;
/// Error(interrupted)
[[nodiscard]] std::vector<std::unique_ptr<GroupCost>> sharing_costs(const Model& model, MergeKind kind,
                                                                    InputStatistics& statistics,
                                                                    const ProgressFn& progress = {},
                                                                    std::vector<CostTable>* tables = nullptr);

}  // namespace qcqa
