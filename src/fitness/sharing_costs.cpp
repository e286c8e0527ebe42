#include "qcqa/fitness/sharing_costs.hpp"

#include <ATen/ATen.h>

#include "fitness/sharing_cost.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/layer_statistics.hpp"

namespace qcqa {

std::vector<std::unique_ptr<GroupCost>> sharing_costs(const Model& model, MergeKind kind, InputStatistics& statistics,
                                                      const ProgressFn& progress) {
  const std::vector<KeyFreedom> freedoms = key_freedoms(model.settings());
  const auto layers = static_cast<std::int64_t>(model.layers().size());
  std::vector<std::unique_ptr<GroupCost>> costs;
  for (const AttentionLayer& layer : model.layers()) {
    const AttentionWeights weights = read_attention_weights(layer);
    const at::Tensor moment = statistics.layers().second_moment(layer.layer, weights.inputs());
    const double scale = 1 / statistics.layers().residual_square(layer.layer, weights.inputs());
    const KeyFreedom& freedom = freedoms[static_cast<std::size_t>(layer.layer)];
    costs.push_back(std::make_unique<SharingCost>(compute_head_blocks(weights, freedom, moment), kind, scale));
    if (progress && !progress({"fitness", layer.layer + 1, layers})) {
      throw Error(ErrorKind::interrupted, model.path().string(), "interrupted before the search began");
    }
  }
  return costs;
}

}  // namespace qcqa
