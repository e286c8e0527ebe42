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

}  // namespace qcqa
