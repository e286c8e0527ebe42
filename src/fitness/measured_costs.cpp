#include "qcqa/fitness/measured_costs.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "fitness/merge_heads.hpp"
#include "forward/grouped_layer.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/layer_statistics.hpp"

namespace qcqa {
namespace {

/// Calibration tokens that are looked at.
constexpr std::int64_t kTokens = 16384;

}  // namespace

class MeasuredCosts::Meter {
 public:
  Meter(const Model& model, std::span<const TokenSequence> calibration, InputStatistics& statistics,
        const ForwardOptions& options, ProgressFn progress)
      : model_(model),
        statistics_(statistics),
        progress_(std::move(progress)),
        transformer_(model, Runtime::of(options)),
        runner_(transformer_, calibration),
        freedoms_(key_freedoms(model.settings())),
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
    const at::Tensor through = original_.clone();
    for (int layer = 0; layer < layers(); ++layer) advance(transformer_.load(layer), layer, through);
    before_ = cross_entropy(through);
  }

  [[nodiscard]] std::vector<double> measure(int index, std::span<const Grouping> groupings) {
    stand_at(index);
    done_ = passes_before(index);
    const LayerWeights loaded = transformer_.load(index);
    const AttentionWeights weights = read_attention_weights(model_.layers()[static_cast<std::size_t>(index)]);
    const at::Tensor moment = statistics_.layers().second_moment(index, weights.inputs());
    std::vector<at::Tensor> hidden;
    for (const Grouping& grouping : groupings) {
      const AttentionWeights merged =
          merge_heads(weights, grouping, MergeKind::subspace, freedoms_[static_cast<std::size_t>(index)], moment);
      hidden.push_back(original_.clone());
      advance(compact_layer(loaded, merged, grouping, transformer_.runtime()), index, hidden.back());
    }
    for (int layer = index + 1; layer < layers(); ++layer) {
      ++done_;
      const LayerWeights next = transformer_.load(layer);
      for (at::Tensor& variant : hidden) advance(next, layer, variant);
    }
    std::vector<double> rises;
    for (const at::Tensor& variant : hidden) rises.push_back(std::max(cross_entropy(variant) - before_, 0.0));
    return rises;
  }

 private:
  [[nodiscard]] int layers() const { return static_cast<int>(model_.layers().size()); }
  /// Layers that the groupings of all layers before this one go through.
  [[nodiscard]] std::int64_t passes_before(std::int64_t layer) const {
    return layer * layers() - layer * (layer - 1) / 2;
  }

  /// Brings the original's hidden states to where they go into a layer.
  void stand_at(int layer) {
    if (layer < next_) {
      runner_.embed(original_);
      next_ = 0;
    }
    for (; next_ < layer; ++next_) advance(transformer_.load(next_), next_, original_);
  }

  void advance(const LayerWeights& weights, int layer, const at::Tensor& hidden) {
    BatchProgress meter([&](std::int64_t) {
      return !progress_ || progress_({"measure", done_, passes_before(layers())});
    });
    runner_.advance(weights, layer, hidden, meter);
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
  InputStatistics& statistics_;
  ProgressFn progress_;
  Transformer transformer_;
  LayerRunner runner_;
  std::vector<KeyFreedom> freedoms_;
  at::Tensor original_;  ///< hidden states that go into layer `next_`
  int next_ = 0;
  double before_ = 0;                         ///< cross-entropy of the original
  std::int64_t done_ = 0;                     ///< layers that groupings went through
  std::vector<std::int64_t> rows_, targets_;  ///< hidden states that predict something, and what
};

MeasuredCosts::MeasuredCosts(const Model& model, std::span<const TokenSequence> calibration,
                             InputStatistics& statistics, const ForwardOptions& options, ProgressFn progress) {
  const at::NoGradGuard no_gradients;
  meter_ =
      std::make_unique<Meter>(model, evenly_spread(calibration, kTokens), statistics, options, std::move(progress));
}
MeasuredCosts::MeasuredCosts(MeasuredCosts&&) noexcept = default;
MeasuredCosts& MeasuredCosts::operator=(MeasuredCosts&&) noexcept = default;
MeasuredCosts::~MeasuredCosts() = default;

std::vector<double> MeasuredCosts::measure(int layer, std::span<const Grouping> groupings) {
  const at::NoGradGuard no_gradients;
  return meter_->measure(layer, groupings);
}

}  // namespace qcqa
