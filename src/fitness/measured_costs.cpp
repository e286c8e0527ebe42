#include "qcqa/fitness/measured_costs.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <vector>

#include "fitness/merge_heads.hpp"
#include "forward/grouped_layer.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/second_moment.hpp"

namespace qcqa {
namespace {

/// Calibration tokens that are looked at.
constexpr std::int64_t kTokens = 16384;

class CostMeter {
 public:
  CostMeter(const Model& model, std::span<const TokenSequence> calibration, const ForwardOptions& options,
            const ProgressFn& progress)
      : model_(model),
        progress_(progress),
        transformer_(model, Runtime::of(options)),
        runner_(transformer_, calibration),
        original_(at::empty({runner_.tokens(), transformer_.hidden_size()})) {
    transformer_.load_head();
    std::int64_t row = 0;
    for (const TokenSequence& sequence : calibration) {
      for (std::size_t i = 1; i < sequence.ids.size(); ++i) {
        rows_.push_back(row + static_cast<std::int64_t>(i) - 1);
        targets_.push_back(sequence.ids[i]);
      }
      row += static_cast<std::int64_t>(sequence.ids.size());
    }
    if (rows_.empty()) {
      throw Error(ErrorKind::invalid_argument, "--calibrate", "must have sequences of two tokens or more", "none");
    }
    runner_.embed(original_);
  }

  [[nodiscard]] std::vector<std::vector<double>> run(std::span<const std::vector<Grouping>> groupings) {
    for (std::size_t l = 0; l < groupings.size(); ++l) {
      passes_ += static_cast<std::int64_t>(groupings[l].size() * (groupings.size() - l) + 1);
    }
    std::vector<std::vector<double>> rises;
    for (std::size_t l = 0; l < groupings.size(); ++l) rises.push_back(measure(static_cast<int>(l), groupings[l]));
    const double before = cross_entropy(original_);
    for (std::vector<double>& layer : rises) {
      for (double& rise : layer) rise = std::max(0.0, rise - before);
    }
    return rises;
  }

 private:
  /// The cross-entropy for each grouping of a layer; the original stream goes on by it.
  [[nodiscard]] std::vector<double> measure(int index, std::span<const Grouping> groupings) {
    const LayerWeights loaded = transformer_.load(index);
    const AttentionWeights weights = read_attention_weights(model_.layers()[static_cast<std::size_t>(index)]);
    const at::Tensor moment = second_moment(runner_, original_, loaded, weights.inputs());
    std::vector<at::Tensor> hidden;
    for (const Grouping& grouping : groupings) {
      const AttentionWeights merged =
          merge_heads(weights, grouping, MergeKind::subspace, key_freedom(transformer_.spec()), moment);
      hidden.push_back(original_.clone());
      advance(compact_layer(loaded, merged, grouping, transformer_.runtime()), index, hidden.back());
    }
    advance(loaded, index, original_);
    for (int layer = index + 1; layer < static_cast<int>(model_.layers().size()); ++layer) {
      const LayerWeights next = transformer_.load(layer);
      for (at::Tensor& variant : hidden) advance(next, layer, variant);
    }
    std::vector<double> losses;
    for (const at::Tensor& variant : hidden) losses.push_back(cross_entropy(variant));
    return losses;
  }

  void advance(const LayerWeights& weights, int layer, const at::Tensor& hidden) {
    BatchProgress meter([&](std::int64_t) { return !progress_ || progress_({"measure", passed_, passes_}); });
    runner_.advance(weights, layer, hidden, meter);
    ++passed_;
  }

  [[nodiscard]] double cross_entropy(const at::Tensor& hidden) const {
    static constexpr std::size_t kRows = 256;
    const std::size_t pieces = (rows_.size() + kRows - 1) / kRows;
    std::vector<double> sums(pieces);
    for_each_batch(transformer_.runtime(), pieces, [&](std::size_t piece) {
      const std::size_t begin = piece * kRows;
      const std::size_t count = std::min(kRows, rows_.size() - begin);
      const auto some = [&](const std::vector<std::int64_t>& all) {
        return at::tensor(at::ArrayRef<std::int64_t>(all.data() + begin, count));
      };
      const at::Tensor states = hidden.index_select(0, some(rows_)).to(transformer_.runtime().options());
      const at::Tensor logits = transformer_.logits(transformer_.final_norm(states));
      const at::Tensor chosen = at::log_softmax(logits, -1).gather(1, some(targets_).to(logits.device()).unsqueeze(1));
      sums[piece] = -chosen.sum().item<double>();
    });
    double sum = 0;
    for (const double part : sums) sum += part;
    return sum / static_cast<double>(rows_.size());
  }

  const Model& model_;
  const ProgressFn& progress_;
  Transformer transformer_;
  LayerRunner runner_;
  at::Tensor original_;
  std::int64_t passes_ = 0, passed_ = 0;      ///< of all tokens through a layer
  std::vector<std::int64_t> rows_, targets_;  ///< hidden states that predict something, and what
};

}  // namespace

std::vector<std::vector<double>> measure_costs(const Model& model, std::span<const std::vector<Grouping>> groupings,
                                               std::span<const TokenSequence> calibration,
                                               const ForwardOptions& options, const ProgressFn& progress) {
  const at::NoGradGuard no_gradients;
  return CostMeter(model, evenly_spread(calibration, kTokens), options, progress).run(groupings);
}

}  // namespace qcqa
