#include "merge/sinks.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "statistics/activations.hpp"

namespace qcqa {

at::Tensor find_sinks(const LayerRunner& runner, const at::Tensor& stream) {
  at::Tensor sinks = massive_tokens(stream);
  for (const SequenceBatch& batch : runner.batches()) {
    for (const AttentionSpan& span : batch.spans) sinks[batch.first_row + span.query_row] = true;
  }
  return sinks;
}

double sink_mass(const LayerRunner& runner, const at::Tensor& sinks, const LayerWeights& weights, int layer,
                 const at::Tensor& stream, std::span<const std::size_t> batches) {
  double mass = 0;
  double tokens = 0;
  for (const std::size_t index : batches) {
    const SequenceBatch& batch = runner.batches()[index];
    const at::Tensor marked = runner.rows(sinks, batch);
    const at::Tensor others = 1 - marked.to(at::kFloat);
    const at::Tensor shares = runner.attention_to(marked, weights, layer, batch, runner.rows(stream, batch));
    mass += (shares * others).sum().item<double>();
    tokens += others.sum().item<double>();
  }
  return mass / std::max(tokens, 1.0);
}

}  // namespace qcqa
