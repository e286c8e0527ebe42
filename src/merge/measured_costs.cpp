#include "qcqa/merge/measured_costs.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "merge/layer_conversion.hpp"
#include "merge/merge_heads.hpp"
#include "merge/second_moment.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Calibration tokens that are looked at.
constexpr std::int64_t kTokens = 16384;

/// Groupings of a layer and their cross-entropies.
using Losses = std::vector<std::pair<Grouping, double>>;

void add(Losses& losses, const Grouping& grouping) {
  if (std::ranges::find(losses, grouping, &Losses::value_type::first) == losses.end())
    losses.emplace_back(grouping, 0.0);
}

class CostMeter {
 public:
  CostMeter(const Model& model, CalibrationSequences calibration, const ForwardOptions& options,
            const ProgressFn& progress)
      : model_(model),
        progress_(progress),
        transformer_(model, Runtime::of(options)),
        streams_(transformer_, calibration),
        original_(at::empty({streams_.tokens(), transformer_.hidden_size()})) {
    transformer_.load_head();
    std::int64_t row = 0;
    for (const auto sequence : calibration) {
      for (std::size_t i = 1; i < sequence.size(); ++i) {
        rows_.push_back(row + static_cast<std::int64_t>(i) - 1);
        targets_.push_back(sequence[i]);
      }
      row += static_cast<std::int64_t>(sequence.size());
    }
    if (rows_.empty()) {
      throw Error(ErrorKind::invalid_argument, "--calibrate", "must have sequences of two tokens or more", "none");
    }
    streams_.embed(original_);
  }

  void run(std::vector<LayerFront>& fronts) {
    std::vector<Losses> losses;
    for (const LayerFront& front : fronts) {
      losses.push_back(groupings_of(front));
      passes_ += static_cast<std::int64_t>(losses.back().size() * (fronts.size() - losses.size() + 1) + 1);
    }
    for (std::size_t l = 0; l < fronts.size(); ++l) measure(fronts[l].layer, losses[l]);
    const double before = cross_entropy(original_);
    for (std::size_t l = 0; l < fronts.size(); ++l) {
      for (LayerGrouping& entry : fronts[l].groupings) replace(entry, losses[l], before);
      widen(fronts[l].groupings);
      fronts[l].one_group_cost = rise(losses[l], Grouping::contiguous(fronts[l].heads, 1), before);
    }
  }

 private:
  static double rise(const Losses& losses, const Grouping& grouping, double before) {
    const auto found = std::ranges::find(losses, grouping, &Losses::value_type::first);
    return found == losses.end() ? 0 : std::max(0.0, found->second - before);
  }

  static void replace(LayerGrouping& entry, const Losses& losses, double before) {
    const double cost = rise(losses, entry.grouping, before);
    const double keys = entry.cost > 0 ? entry.parts.k / entry.cost : 0;
    entry.parts = {.k = cost * keys, .v = cost * (1 - keys)};
    entry.cost = cost;
    entry.lower_bound = 0;
    entry.proven = cost == 0;
  }

  /// What a narrower class does better is open to a wider one too.
  static void widen(std::vector<LayerGrouping>& groupings) {
    for (LayerGrouping& wide : groupings) {
      for (const LayerGrouping& narrow : groupings) {
        if (narrow.cardinality <= wide.cardinality || narrow.grouping.groups() != wide.grouping.groups()) continue;
        if (narrow.cost >= wide.cost) continue;
        const Cardinality cardinality = wide.cardinality;
        wide = narrow;
        wide.cardinality = cardinality;
      }
    }
  }

  static Losses groupings_of(const LayerFront& front) {
    Losses groupings;
    for (const LayerGrouping& entry : front.groupings) {
      if (entry.grouping.groups() < front.heads) add(groupings, entry.grouping);
    }
    if (front.heads > 1) add(groupings, Grouping::contiguous(front.heads, 1));
    return groupings;
  }

  /// Fills in the cross-entropy for each grouping of a layer; the original stream goes on by it.
  void measure(int index, Losses& losses) {
    const LayerWeights loaded = transformer_.load(index);
    const AttentionWeights weights = read_attention_weights(model_.layers()[static_cast<std::size_t>(index)]);
    const at::Tensor moment = second_moment(streams_, original_, loaded, weights.inputs());
    std::vector<at::Tensor> hidden;
    for (const auto& [grouping, loss] : losses) {
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
    auto variant = hidden.begin();
    for (auto& [grouping, loss] : losses) loss = cross_entropy(*variant++);
  }

  void advance(const LayerWeights& weights, int layer, const at::Tensor& hidden) {
    BatchProgress meter([&](std::int64_t) { return !progress_ || progress_({"measure", passed_, passes_}); });
    streams_.advance(weights, layer, hidden, meter);
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
  LayerStreams streams_;
  at::Tensor original_;
  std::int64_t passes_ = 0, passed_ = 0;      ///< of all tokens through a layer
  std::vector<std::int64_t> rows_, targets_;  ///< hidden states that predict something, and what
};

}  // namespace

void measure_costs(const Model& model, std::vector<LayerFront>& fronts, CalibrationSequences calibration,
                   const ForwardOptions& options, const ProgressFn& progress) {
  const at::NoGradGuard no_gradients;
  CostMeter(model, evenly_spread(calibration, kTokens), options, progress).run(fronts);
}

}  // namespace qcqa
