#include "qcqa/merge/measured_costs.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "fitness/merge_heads.hpp"
#include "forward/grouped_layer.hpp"
#include "merge/refit.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/second_moment.hpp"

namespace qcqa {

class MeasuredCosts::Meter {
 public:
  Meter(const Model& model, Model converted, std::span<const TokenSequence> fitted,
        std::span<const TokenSequence> judged, const MergeOptions& options, ProgressFn progress)
      : model_(model),
        converted_model_(std::move(converted)),
        scope_(options.reconstruct.scope),
        progress_(std::move(progress)),
        original_(model, Runtime::of(options.forward)),
        converted_(converted_model_, Runtime::of(options.forward)),
        fitted_(original_, evenly_spread(fitted, kFittedTokens)),
        judged_(original_, evenly_spread(judged, kJudgedTokens)),
        freedoms_(key_freedoms(model.settings())),
        original_stream_(stream_of(fitted_)),
        stream_(stream_of(fitted_)),
        judged_stream_(stream_of(judged_)),
        predictions_(stream_of(judged_)) {
    require_scope(model, scope_);
    original_.load_head();
    embed();
    judged_.embed(predictions_);
    for (int layer = 0; layer < layers(); ++layer) {
      judged_.lead_in(layer, {predictions_});
      advance(judged_, original_.load(layer), layer, predictions_);
    }
    judged_.lead_in(layers(), {predictions_});
  }

  [[nodiscard]] std::vector<double> measure(int index, std::span<const Grouping> groupings) {
    stand_before(index);
    done_ = passes_before(index);
    const LayerWeights loaded = original_.load(index);
    const AttentionWeights weights = read_attention_weights(model_.layers()[static_cast<std::size_t>(index)]);
    const at::Tensor moment = second_moment(fitted_, stream_, loaded, weights.inputs());
    const at::Tensor targets = original_stream_.clone();
    advance(fitted_, loaded, index, targets);
    const LayerTask task = layer_task(fitted_, index, loaded, stream_, original_stream_, targets);
    std::vector<Grouping> all(groupings.begin(), groupings.end());
    all.push_back(Grouping::contiguous(loaded.kv_heads, loaded.kv_heads));
    std::vector<at::Tensor> hidden;
    for (const Grouping& grouping : all) {
      const AttentionWeights merged =
          merge_heads(weights, grouping, MergeKind::refit, freedoms_[static_cast<std::size_t>(index)], moment);
      LayerWeights compact = compact_layer(loaded, merged, grouping, original_.runtime());
      refit_output(fitted_, task, compact);
      if (scope_ == ReconstructScope::block) refit_mlp(fitted_, task, compact);
      hidden.push_back(judged_stream_.clone());
      advance(judged_, compact, index, hidden.back());
    }
    for (int layer = index + 1; layer < layers(); ++layer) {
      ++done_;
      const LayerWeights next = converted_.load(layer);
      judged_.lead_in(layer, hidden);
      for (at::Tensor& variant : hidden) advance(judged_, next, layer, variant);
    }
    judged_.lead_in(layers(), hidden);
    std::vector<double> costs = divergences(hidden);
    const double of_all_heads = costs.back();
    costs.pop_back();
    for (double& cost : costs) cost = std::max(cost - of_all_heads, 0.0);
    return costs;
  }

 private:
  [[nodiscard]] int layers() const { return static_cast<int>(model_.layers().size()); }
  /// Layers that the groupings of all layers before this one go through.
  [[nodiscard]] std::int64_t passes_before(std::int64_t layer) const {
    return layer * layers() - layer * (layer - 1) / 2;
  }

  [[nodiscard]] at::Tensor stream_of(const LayerRunner& runner) const {
    return at::empty({runner.tokens(), original_.hidden_size()});
  }

  void embed() {
    fitted_.embed(original_stream_);
    fitted_.embed(stream_);
    judged_.embed(judged_stream_);
    next_ = 0;
    lead_in_all();
  }

  void lead_in_all() const {
    fitted_.lead_in(next_, {original_stream_, stream_});
    judged_.lead_in(next_, {judged_stream_});
  }

  /// Brings all streams to where they go into a layer.
  void stand_before(int layer) {
    if (layer < next_) embed();
    while (next_ < layer) {
      advance(fitted_, original_.load(next_), next_, original_stream_);
      const LayerWeights converted = converted_.load(next_);
      advance(fitted_, converted, next_, stream_);
      advance(judged_, converted, next_, judged_stream_);
      ++next_;
      lead_in_all();
    }
  }

  void advance(const LayerRunner& runner, const LayerWeights& weights, int layer, const at::Tensor& hidden) {
    BatchProgress meter([&](std::int64_t) {
      return !progress_ || progress_({"measure", done_, passes_before(layers())});
    });
    runner.advance(weights, layer, hidden, meter);
  }

  /// Mean over tokens of each stream's divergence from the original's predictions. @param streams  after the last layer
  [[nodiscard]] std::vector<double> divergences(std::span<const at::Tensor> streams) const {
    const std::vector<SequenceBatch>& batches = judged_.batches();
    std::vector<std::vector<double>> sums(batches.size());
    for_each_batch(original_.runtime(), batches.size(), [&](std::size_t i) {
      const auto log_probabilities = [&](const at::Tensor& stream) {
        return at::log_softmax(original_.logits(original_.final_norm(judged_.rows(stream, batches[i]))), -1);
      };
      const at::Tensor wanted = log_probabilities(predictions_);
      for (const at::Tensor& stream : streams) {
        sums[i].push_back(at::kl_div(log_probabilities(stream), wanted, at::Reduction::Sum, true).item<double>());
      }
    });
    std::vector<double> means(streams.size(), 0);
    for (const auto& of_batch : sums) {
      for (std::size_t i = 0; i < means.size(); ++i) means[i] += of_batch[i] / static_cast<double>(judged_.tokens());
    }
    return means;
  }

  const Model& model_;
  Model converted_model_;
  ReconstructScope scope_;
  ProgressFn progress_;
  Transformer original_, converted_;
  LayerRunner fitted_, judged_;
  std::vector<KeyFreedom> freedoms_;
  at::Tensor original_stream_, stream_;  ///< of the original and of the converted model, before layer `next_`
  at::Tensor judged_stream_;             ///< of the converted model, before layer `next_`
  at::Tensor predictions_;               ///< the original's stream after its last layer
  int next_ = 0;
  std::int64_t done_ = 0;  ///< layers that groupings went through
};

MeasuredCosts::MeasuredCosts(const Model& model, Model converted, std::span<const TokenSequence> fitted,
                             std::span<const TokenSequence> judged, const MergeOptions& options, ProgressFn progress) {
  if (fitted.empty() || judged.empty()) {
    throw Error(ErrorKind::invalid_argument, "--fitness measured", "needs two or more sequences of calibration tokens",
                "fewer", "Give --calibrate more text.");
  }
  const at::NoGradGuard no_gradients;
  meter_ = std::make_unique<Meter>(model, std::move(converted), fitted, judged, options, std::move(progress));
}
MeasuredCosts::MeasuredCosts(MeasuredCosts&&) noexcept = default;
MeasuredCosts& MeasuredCosts::operator=(MeasuredCosts&&) noexcept = default;
MeasuredCosts::~MeasuredCosts() = default;

std::vector<double> MeasuredCosts::measure(int layer, std::span<const Grouping> groupings) {
  const at::NoGradGuard no_gradients;
  return meter_->measure(layer, groupings);
}

}  // namespace qcqa
