#include "merge/fitting.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace qcqa {
namespace {

constexpr double kWarmUp = 0.05;  ///< share of the steps

}  // namespace

BatchOrder::BatchOrder(const LayerStreams& streams, std::vector<std::size_t> batches, std::uint64_t seed)
    : streams_(&streams), batches_(std::move(batches)), random_(seed) {}

std::vector<const SequenceBatch*> BatchOrder::next(std::int64_t tokens) {
  std::vector<const SequenceBatch*> some;
  for (std::int64_t rows = 0; rows < tokens; rows += some.back()->rows) {
    if (place_ % batches_.size() == 0) shuffle();
    some.push_back(&streams_->batches()[batches_[place_++ % batches_.size()]]);
  }
  return some;
}

void BatchOrder::shuffle() {  // written out: the standard's shuffles differ between libraries
  for (std::size_t i = batches_.size(); i > 1; --i) std::swap(batches_[i - 1], batches_[random_() % i]);
}

std::int64_t rows_of(const std::vector<const SequenceBatch*>& batches) {
  std::int64_t rows = 0;
  for (const SequenceBatch* batch : batches) rows += batch->rows;
  return rows;
}

double rate_factor(int step, int steps) {
  const double done = static_cast<double>(step) / steps;
  const double warm = std::min(1.0, (step + 1) / std::max(1.0, kWarmUp * steps));
  return warm * 0.5 * (1 + std::cos(std::numbers::pi * done));
}

Fit fit(int steps, int judgements, const std::function<void(int)>& take, const std::function<double()>& error,
        const std::function<void()>& keep, const std::function<void(int)>& progress) {
  keep();
  Fit result;
  result.before = result.after = error();
  for (int step = 1; step <= steps; ++step) {
    take(step);
    if (step == steps || step * judgements / steps != (step - 1) * judgements / steps) {
      const double now = error();
      if (now < result.after) {
        result.after = now;
        result.steps = step;
        keep();
      }
    }
    progress(step);
  }
  return result;
}

}  // namespace qcqa
