#include "merge/sinks.hpp"

#include <ATen/ATen.h>

#include <algorithm>

namespace qcqa {
namespace {

/// Times the median length that make an activation massive.
constexpr double kMassive = 10;
/// Share of the whole that sinks count for at least: they are one in hundreds.
constexpr double kSinkShare = 0.125;

}  // namespace

at::Tensor find_sinks(const LayerRunner& runner, const at::Tensor& stream) {
  const at::Tensor length = stream.norm(2, {1});
  at::Tensor sinks = length > kMassive * length.median();
  for (const SequenceBatch& batch : runner.batches()) {
    for (const AttentionSpan& span : batch.spans) sinks[batch.first_row + span.query_row] = true;
  }
  return sinks;
}

at::Tensor importance_of(const at::Tensor& sinks) {
  const auto share = sinks.to(at::kFloat).mean().item<double>();
  const at::Tensor counts = at::where(sinks, std::max(1.0, kSinkShare / share), at::ones({1}));
  return counts / counts.mean();
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
