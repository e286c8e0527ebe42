#include "merge/distillation.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <optional>

#include "forward/mixer.hpp"
#include "merge/fitting.hpp"
#include "merge/layer_chain.hpp"
#include "merge/layer_optimizer.hpp"
#include "qcqa/support/error.hpp"
#include "support/stopwatch.hpp"

namespace qcqa {
namespace {

/// After steps layer by layer, and without them: one for a small divergence, and what grows with it to the other.
constexpr double kRateAfterSteps = 3e-4, kLeastRate = 1e-3, kMostRate = 3e-3, kRatePerNat = 3e-3;

/// What is done is kept after so many seconds, and after so many times as long as keeping it takes.
constexpr double kLeastBetweenCheckpoints = 60, kTimesAsLong = 30;

/// When to keep what is done, against being killed: all the weights with their moments are gigabytes.
class CheckpointTimes {
 public:
  [[nodiscard]] bool is_due() const { return since_.seconds() >= pause_; }
  void saved_in(double seconds) {
    pause_ = std::max(kLeastBetweenCheckpoints, kTimesAsLong * seconds);
    since_ = Stopwatch();
  }

 private:
  Stopwatch since_;
  double pause_ = kLeastBetweenCheckpoints;
};

class Distiller {
 public:
  Distiller(const LayerRunner& runner, const DistillationData& task, const std::vector<LayerWeights>& layers)
      : runner_(runner), task_(task), layers_(layers), mixers_(layers.size() + 1) {
    for (std::size_t layer = 1; layer < mixers_.size(); ++layer)
      mixers_[layer] = runner.transformer().load_mixers(static_cast<int>(layer));
  }

  /// Sum over the positions from `first` on of the divergence from the original's distribution (KL, in nats).
  [[nodiscard]] at::Tensor divergence(const SequenceBatch& batch, std::int64_t first) const {
    at::Tensor hidden = embedded(batch);
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) hidden = run(layer, batch, hidden);
    return divergence(batch, first, hidden);
  }
  /// The same of what the last layer gave.
  [[nodiscard]] at::Tensor divergence(const SequenceBatch& batch, std::int64_t first, const at::Tensor& hidden) const {
    at::Tensor wanted;
    {
      const at::NoGradGuard no_gradients;
      wanted = log_probabilities(*task_.original, runner_.rows(task_.targets, batch), first);
    }
    return at::kl_div(log_probabilities(runner_.transformer(), led_in(layers_.size(), batch, hidden), first), wanted,
                      at::Reduction::Sum, true);
  }

  [[nodiscard]] at::Tensor embedded(const SequenceBatch& batch) const { return runner_.rows(task_.embedded, batch); }
  [[nodiscard]] at::Tensor run(std::size_t layer, const SequenceBatch& batch, const at::Tensor& hidden) const {
    return runner_.run(layers_[layer], static_cast<int>(layer), batch, led_in(layer, batch, hidden));
  }

  [[nodiscard]] std::int64_t positions(std::int64_t rows) const { return (rows + task_.stride - 1) / task_.stride; }

  /// Mean over the held-back positions.
  [[nodiscard]] double held_back_divergence() const {
    std::vector<double> sums(task_.held_back.size());
    std::int64_t count = 0;
    for (const std::size_t index : task_.held_back) count += positions(runner_.batches()[index].rows);
    for_each_batch(runner_.transformer().runtime(), sums.size(), [&](std::size_t i) {
      sums[i] = divergence(runner_.batches()[task_.held_back[i]], 0).item<double>();
    });
    return std::accumulate(sums.begin(), sums.end(), 0.0) / static_cast<double>(count);
  }

 private:
  /// Through the layers without heads, which stay as they are.
  [[nodiscard]] at::Tensor led_in(std::size_t layer, const SequenceBatch& batch, at::Tensor hidden) const {
    for (const LayerWeights& mixer : mixers_[layer])
      hidden = run_mixer_layer(mixer, runner_.transformer().spec(), batch.spans, hidden);
    return hidden;
  }

  [[nodiscard]] at::Tensor log_probabilities(const Transformer& transformer, const at::Tensor& hidden,
                                             std::int64_t first) const {
    const at::Tensor some = hidden.slice(0, first, hidden.size(0), task_.stride);
    return at::log_softmax(transformer.logits(transformer.final_norm(some)), -1);
  }

  const LayerRunner& runner_;
  const DistillationData& task_;
  const std::vector<LayerWeights>& layers_;
  std::vector<std::vector<LayerWeights>> mixers_;  ///< before each layer but the first, and behind the last
};

}  // namespace

double ReconstructOptions::rate_to_distill(double divergence) const {
  if (distill_rate) return *distill_rate;
  return steps > 0 ? kRateAfterSteps : std::clamp(kRatePerNat * divergence, kLeastRate, kMostRate);
}

Distillation distill(const LayerRunner& runner, const DistillationData& task, const ReconstructOptions& options,
                     const std::vector<bool>& biases, std::uint64_t seed, std::vector<LayerWeights>& layers,
                     const DistillCheckpoints& checkpoints, const std::function<void(int)>& progress) {
  std::vector<LayerOptimizer> optimizers;
  optimizers.reserve(layers.size());
  std::vector<std::span<const at::Tensor>> weights;
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    optimizers.emplace_back(layers[layer], options.scope, biases[layer], 1);
    weights.emplace_back(optimizers.back().weights());
  }
  const Distiller distiller(runner, task, layers);
  const auto keep = [&] {
    for (LayerOptimizer& optimizer : optimizers) optimizer.keep();
  };
  std::optional<double> rate;  // once the divergence before the first step is known
  BatchOrder order(runner, task.fitted, options.step_tokens, seed);
  const auto take_step = [&](int step) {
    const auto& batches = order.next();
    const std::int64_t first = step % task.stride;
    std::vector<std::vector<at::Tensor>> gradients(batches.size());
    for_each_batch(runner.transformer().runtime(), batches.size(), [&](std::size_t i) {
      const SequenceBatch& batch = *batches[i];
      const double share = static_cast<double>(task.stride) / static_cast<double>(row_count(batches));
      const LayerChain chain = {
          .run = [&](std::size_t layer, const at::Tensor& hidden) { return distiller.run(layer, batch, hidden); },
          .loss = [&](const at::Tensor& hidden) { return distiller.divergence(batch, first, hidden) * share; },
          .weights = weights};
      gradients[i] = gradients_of(chain, distiller.embedded(batch), task.activations);
    });
    std::size_t begin = 0;
    for (LayerOptimizer& optimizer : optimizers) {
      std::vector<std::span<const at::Tensor>> of_layer;
      for (const auto& of_batch : gradients) {
        of_layer.push_back(std::span(of_batch).subspan(begin, optimizer.weights().size()));
      }
      optimizer.step(of_layer, *rate * rate_factor(step - 1, options.distill_steps));
      begin += optimizer.weights().size();
    }
  };
  const auto state = [&] {
    std::vector<at::Tensor> tensors;
    for (const LayerOptimizer& optimizer : optimizers)
      std::ranges::move(optimizer.state(), std::back_inserter(tensors));
    return tensors;
  };
  FitState begin;
  keep();
  if (const auto saved = checkpoints.load(state())) {
    begin = saved->fit;
    rate = options.rate_to_distill(begin.best.before);
    std::span<const at::Tensor> rest(saved->tensors);
    for (LayerOptimizer& optimizer : optimizers) {
      const std::size_t count = optimizer.state().size();
      optimizer.restore(rest.first(count), begin.step);
      rest = rest.subspan(count);
    }
    for (int step = 0; step < begin.step; ++step) (void)order.next();
  }
  const int steps = options.distill_steps;
  CheckpointTimes times;
  const auto after_step = [&](const FitState& now) {
    if (now.step < steps && times.is_due()) {
      const Stopwatch watch;
      checkpoints.save(now, state());
      times.saved_in(watch.seconds());
    }
    try {
      progress(now.step);
    } catch (const Error&) {  // interrupted: no step is taken twice
      checkpoints.save(now, state());
      throw;
    }
  };
  const auto judge = [&] {
    const double divergence = distiller.held_back_divergence();
    if (!rate) rate = options.rate_to_distill(divergence);
    return divergence;
  };
  const Fit result = fit(steps, task.judgements, begin, take_step, judge, keep, after_step);
  for (LayerOptimizer& optimizer : optimizers) optimizer.finish();
  return {.before = result.before, .after = result.after, .steps = result.steps};
}

}  // namespace qcqa
