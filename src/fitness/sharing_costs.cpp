#include "qcqa/fitness/sharing_costs.hpp"

#include <ATen/ATen.h>

#include <optional>
#include <utility>

#include "fitness/sharing_cost.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/layer_statistics.hpp"

namespace qcqa {

std::vector<std::unique_ptr<GroupCost>> sharing_costs(const Model& model, MergeKind kind, InputStatistics& statistics,
                                                      const ProgressFn& progress, std::vector<CostTable>* tables) {
  const std::vector<KeyFreedom> freedoms = key_freedoms(model.settings());
  const auto layers = static_cast<std::int64_t>(model.layers().size());
  const bool are_known = tables != nullptr && !tables->empty();
  std::vector<std::unique_ptr<GroupCost>> costs;
  for (const AttentionLayer& layer : model.layers()) {
    const auto index = static_cast<std::size_t>(layer.layer);
    const std::optional<CostTable> known = are_known ? std::optional((*tables)[index]) : std::nullopt;
    if (known && SharingCost::has_all_groups(layer.kv_heads)) {
      costs.push_back(std::make_unique<SharingCost>(HeadBlocks{.heads = layer.kv_heads}, kind, 1, known));
      continue;
    }
    const AttentionWeights weights = read_attention_weights(layer);
    const at::Tensor moment = statistics.layers().second_moment(layer.layer, weights.inputs());
    const double scale = 1 / statistics.layers().residual_square(layer.layer, weights.inputs());
    auto cost =
        std::make_unique<SharingCost>(compute_head_blocks(weights, freedoms[index], moment), kind, scale, known);
    if (tables != nullptr && !are_known) tables->push_back(cost->table());
    costs.push_back(std::move(cost));
    if (progress && !progress({"fitness", layer.layer + 1, layers})) {
      throw Error(ErrorKind::interrupted, model.path().string(), "interrupted before the search began");
    }
  }
  return costs;
}

}  // namespace qcqa
