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
/// What is run: as many batches for each thread as a step of reconstruction has.
constexpr std::int64_t kTokens = 256;
constexpr std::int64_t kBatchesPerThread = 2;

/// The least of several runs: others may want the machine too.
double seconds_of(const auto& work) {
  using Clock = std::chrono::steady_clock;
  static constexpr double kEnough = 0.3;
  static constexpr int kMostRuns = 50;
  double least = 0;
  double all = 0;
  for (int run = 0; run < 2 || (all < kEnough && run < kMostRuns); ++run) {
    const auto begin = Clock::now();
    work();
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    least = run == 0 ? seconds : std::min(least, seconds);
    all += seconds;
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
  const std::int64_t count = kBatchesPerThread * omp_get_max_threads() * ((kTokens + length - 1) / length);
  const std::vector<LayerStreams::Sequence> sequences(static_cast<std::size_t>(count), sequence);
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
