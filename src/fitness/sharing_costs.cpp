#include "qcqa/fitness/sharing_costs.hpp"

#include <ATen/ATen.h>

#include <optional>

#include "fitness/sharing_cost.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/second_moment.hpp"

namespace qcqa {

std::vector<std::unique_ptr<GroupCost>> sharing_costs(const Model& model, MergeKind kind,
                                                      std::span<const TokenSequence> calibration,
                                                      const ForwardOptions& options, const ProgressFn& progress) {
  const std::vector<KeyFreedom> freedoms = key_freedoms(model.settings());
  const auto layers = static_cast<std::int64_t>(model.layers().size());
  std::optional<Transformer> transformer;
  std::optional<LayerRunner> runner;
  at::Tensor hidden;
  if (!calibration.empty()) {
    transformer.emplace(model, Runtime::of(options));
    runner.emplace(*transformer, evenly_spread(calibration, kMomentTokensPerColumn * transformer->hidden_size()));
    hidden = at::empty({runner->tokens(), transformer->hidden_size()});
    runner->embed(hidden);
  }
  std::vector<std::unique_ptr<GroupCost>> costs;
  for (const AttentionLayer& layer : model.layers()) {
    const AttentionWeights weights = read_attention_weights(layer);
    at::Tensor moment;
    double scale = 1;
    if (!runner) {
      moment = isotropic_moment(model, layer.layer, weights.inputs());
    } else {
      const LayerWeights loaded = transformer->load(layer.layer);
      moment = second_moment(*runner, hidden, loaded, weights.inputs());
      BatchProgress meter([](std::int64_t) { return true; });
      runner->advance(loaded, layer.layer, hidden, meter);
      scale = 1 / hidden.square().sum(1).mean().item<double>();
    }
    const KeyFreedom& freedom = freedoms[static_cast<std::size_t>(layer.layer)];
    costs.push_back(std::make_unique<SharingCost>(compute_head_blocks(weights, freedom, moment), kind, scale));
    if (progress && !progress({"fitness", layer.layer + 1, layers})) {
      throw Error(ErrorKind::interrupted, model.path().string(), "interrupted before the search began");
    }
  }
  return costs;
}

}  // namespace qcqa
