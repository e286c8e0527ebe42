#include "qcqa/merge/estimate.hpp"

#include <ATen/ATen.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "merge/layer_streams.hpp"

namespace qcqa {
namespace {

/// Work in passes of a token through a layer: gradients cost two more, the optimizer and looking at held-back tokens a little.
constexpr double kPassesPerStepToken = 4;
/// Original and converted stream, second moments, refitting.
constexpr double kPassesToReconstruct = 5;
constexpr double kPassesForMoments = 2;
/// Tokens that are sampled go through a layer in small numbers.
constexpr double kPassesToSample = 2;
constexpr std::int64_t kTokens = 256;

double seconds_of(const auto& work) {
  double least = 0;
  for (int turn = 0; turn < 2; ++turn) {  // the first one warms up
    const auto begin = std::chrono::steady_clock::now();
    work();
    least = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  return least;
}

}  // namespace

double estimate_merge_seconds(const Model& model, const MergeOptions& options, std::int64_t tokens,
                              std::int64_t sampled) {
  if (!uses_calibration(options.kind) || tokens == 0) return 0;
  Transformer transformer(model, Runtime::of(options.forward));
  const ForwardSpec& spec = transformer.spec();
  const std::int64_t length = spec.max_positions > 0 ? std::min<std::int64_t>(kTokens, spec.max_positions) : kTokens;
  const std::vector<std::int32_t> sequence(static_cast<std::size_t>(length), 0);
  const std::vector<LayerStreams::Sequence> sequences(static_cast<std::size_t>(omp_get_max_threads()), sequence);
  const LayerStreams streams(transformer, sequences);
  const at::Tensor hidden = at::empty({streams.tokens(), transformer.hidden_size()});
  streams.embed(hidden);
  const auto layers = static_cast<double>(model.layers().size());
  const LayerWeights layer = transformer.load(0);
  const double pass = seconds_of([&] {
    BatchProgress meter(nullptr);
    streams.advance(layer, 0, hidden, meter);
  }) / static_cast<double>(streams.tokens());
  double passes = static_cast<double>(tokens) * kPassesForMoments;
  if (options.kind == MergeKind::reconstruct) {
    passes = static_cast<double>(tokens) * kPassesToReconstruct +
             static_cast<double>(options.reconstruct.steps * options.reconstruct.step_tokens) * kPassesPerStepToken;
  }
  double seconds = layers * pass * passes;
  if (sampled > 0) {
    transformer.load_head();
    const at::Tensor rows = hidden.to(transformer.runtime().options());
    const double head = seconds_of([&] { (void)transformer.logits(rows).sum().item<double>(); }) /
                        static_cast<double>(streams.tokens());
    seconds += static_cast<double>(sampled) * (layers * pass * kPassesToSample + head);
  }
  return seconds;
}

}  // namespace qcqa
