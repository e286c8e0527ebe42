#include "evaluate/window_scores.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "forward/for_each_batch.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Hidden states of one model in memory at a time.
constexpr std::int64_t kHiddenBytes = std::int64_t{1} << 30;
/// Logits of one model in memory at a time, on a CPU per thread.
constexpr std::int64_t kLogitBytesOnCpu = std::int64_t{16} << 20;
constexpr std::int64_t kLogitBytesOnGpu = std::int64_t{512} << 20;

using TokenSpan = std::span<const std::int32_t>;

/// Windows that have something to score, long ones first: those of one length are then neighbours.
std::vector<std::size_t> order_of(std::span<const TokenSequence> windows) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < windows.size(); ++i) {
    if (windows[i].targets() > 0) order.push_back(i);
  }
  std::ranges::stable_sort(order, std::greater<>(), [&](std::size_t i) { return windows[i].ids.size(); });
  return order;
}

/// Rows of hidden states that predict something, in the order of `order`.
struct Prediction {
  std::int64_t row;
  std::int64_t target;
  std::size_t window;
};

std::vector<Prediction> predictions_of(std::span<const TokenSequence> windows, std::span<const std::size_t> order) {
  std::vector<Prediction> predictions;
  std::int64_t row = 0;
  for (const std::size_t index : order) {
    const TokenSequence& window = windows[index];
    for (std::size_t i = window.first_target; i < window.ids.size(); ++i) {
      predictions.push_back({row + static_cast<std::int64_t>(i) - 1, window.ids[i], index});
    }
    row += static_cast<std::int64_t>(window.ids.size());
  }
  return predictions;
}

/// Windows that are run together: as many as the memory for hidden states holds.
std::vector<std::span<const std::size_t>> turns_of(std::span<const TokenSequence> windows,
                                                   std::span<const std::size_t> order, std::int64_t row_bytes) {
  std::vector<std::span<const std::size_t>> turns;
  std::size_t begin = 0;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::int64_t more = static_cast<std::int64_t>(windows[order[i]].ids.size()) * row_bytes;
    if (i > begin && bytes + more > kHiddenBytes) {
      turns.push_back(order.subspan(begin, i - begin));
      begin = i;
      bytes = 0;
    }
    bytes += more;
  }
  if (begin < order.size()) turns.push_back(order.subspan(begin));
  return turns;
}

std::vector<TokenSpan> sequences_of(std::span<const TokenSequence> windows, std::span<const std::size_t> order) {
  std::vector<TokenSpan> sequences;
  for (const std::size_t index : order) sequences.push_back(windows[index].ids);
  return sequences;
}

/// Progress over all token-layers of all models and turns; scoring counts as one more layer.
class WorkMeter {
 public:
  WorkMeter(const ProgressFn& progress, std::int64_t total) : progress_(progress), total_(total) {}

  [[nodiscard]] ForwardProgress layers() {
    return [this](std::int64_t done) { return report(done); };
  }
  void add(std::int64_t units) { before_ += units; }
  [[nodiscard]] bool report(std::int64_t done) const {
    return !progress_ || progress_({"evaluate", before_ + done, total_});
  }

 private:
  const ProgressFn& progress_;
  std::int64_t total_;
  std::int64_t before_ = 0;
};

/// Weights and layers have been looked at before; the last product can overflow all the same.
void require_finite_loss(const Transformer& transformer, double loss) {
  if (std::isfinite(loss)) return;
  throw Error(ErrorKind::unsupported, transformer.model().path().string(), "logits must be finite", "not a number");
}

class Evaluator {
 public:
  Evaluator(Transformer& model, Transformer* reference, std::span<const TokenSequence> windows)
      : model_(model), reference_(reference), windows_(windows), scores_(windows.size()) {}

  std::vector<std::vector<TokenScore>> run(std::span<const std::size_t> order, const ProgressFn& progress) {
    std::int64_t tokens = 0;
    for (const std::size_t index : order) tokens += static_cast<std::int64_t>(windows_[index].ids.size());
    const std::int64_t models = reference_ ? 2 : 1;
    const auto layers = static_cast<std::int64_t>(model_.model().layers().size());
    WorkMeter meter(progress, tokens * (layers * models + 1));
    for (const auto turn : turns_of(windows_, order, model_.hidden_size() * 4 * models)) {
      const std::vector<TokenSpan> sequences = sequences_of(windows_, turn);
      std::int64_t turn_tokens = 0;
      for (const TokenSpan sequence : sequences) turn_tokens += static_cast<std::int64_t>(sequence.size());
      const at::Tensor hidden = model_.run(sequences, meter.layers());
      meter.add(turn_tokens * layers);
      at::Tensor reference_hidden;
      if (reference_) {
        reference_hidden = reference_->run(sequences, meter.layers());
        meter.add(turn_tokens * layers);
      }
      score(hidden, reference_hidden, predictions_of(windows_, turn), meter);
      meter.add(turn_tokens);
      (void)meter.report(0);
    }
    return std::move(scores_);
  }

 private:
  void score(const at::Tensor& hidden, const at::Tensor& reference_hidden, const std::vector<Prediction>& predictions,
             WorkMeter& meter) {
    const auto step = static_cast<std::size_t>(logit_rows(model_));
    const std::size_t pieces = (predictions.size() + step - 1) / step;
    std::vector<TokenScore> scores(predictions.size());
    model_.load_head();
    if (reference_) reference_->load_head();
    BatchProgress progress(meter.layers());
    for_each_batch(model_.runtime(), pieces, [&](std::size_t piece) {
      progress.throw_if_stopped();
      const std::size_t begin = piece * step;
      const std::span<const Prediction> some =
          std::span(predictions).subspan(begin, std::min(step, predictions.size() - begin));
      std::vector<std::int64_t> rows;
      std::vector<std::int64_t> targets;
      for (const Prediction& prediction : some) {
        rows.push_back(prediction.row);
        targets.push_back(prediction.target);
      }
      const at::Tensor index = at::tensor(at::ArrayRef<std::int64_t>(rows)).to(hidden.device());
      const at::Tensor logits = model_.logits(hidden.index_select(0, index));
      const at::Tensor reference_logits =
          reference_ ? reference_->logits(reference_hidden.index_select(0, index)) : at::Tensor();
      std::ranges::copy(score_tokens(logits, reference_logits, targets),
                        scores.begin() + static_cast<std::ptrdiff_t>(begin));
      progress.add(static_cast<std::int64_t>(some.size()));
    });
    for (std::size_t i = 0; i < predictions.size(); ++i) {
      require_finite_loss(model_, scores[i].loss);
      if (reference_) require_finite_loss(*reference_, scores[i].reference_loss);
      scores_[predictions[i].window].push_back(scores[i]);
    }
  }

  Transformer& model_;
  Transformer* reference_;
  std::span<const TokenSequence> windows_;
  std::vector<std::vector<TokenScore>> scores_;
};

void require_same_vocabulary(const Transformer& model, const Transformer& reference) {
  if (model.vocabulary() == reference.vocabulary()) return;
  throw Error(ErrorKind::invalid_argument, reference.model().path().string(),
              "the reference must have the model's vocabulary, " + std::to_string(model.vocabulary()) + " tokens",
              std::to_string(reference.vocabulary()));
}

}  // namespace

std::int64_t logit_rows(const Transformer& transformer) {
  const std::int64_t bytes = transformer.runtime().device.is_cpu() ? kLogitBytesOnCpu : kLogitBytesOnGpu;
  return std::max<std::int64_t>(48, bytes / (transformer.vocabulary() * 4) / 48 * 48);
}

std::vector<std::vector<TokenScore>> score_windows(const Model& model, const Model* reference,
                                                   std::span<const TokenSequence> windows,
                                                   const EvaluateOptions& options, const ProgressFn& progress) {
  const std::vector<std::size_t> order = order_of(windows);
  if (order.empty()) {
    throw Error(ErrorKind::invalid_argument, "evaluation text", "must have at least one document of two tokens or more",
                "none");
  }
  const c10::InferenceMode no_gradients;
  Transformer transformer(model, Runtime::of(options.forward, options.kv_cache));
  std::optional<Transformer> other;
  if (reference) {
    other.emplace(*reference, Runtime::of(options.forward));
    require_same_vocabulary(transformer, *other);
  }
  return Evaluator(transformer, other ? &*other : nullptr, windows).run(order, progress);
}

}  // namespace qcqa
