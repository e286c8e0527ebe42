#include "merge/fitting.hpp"

#include <algorithm>
#include <cmath>

namespace qcqa {
namespace {

constexpr double kWarmUp = 0.05;  ///< share of the steps

/// One batch in this many is held back, but at most kMostHeldBack.
constexpr std::size_t kHoldBackOneIn = 24;
constexpr std::size_t kMostHeldBack = 32;

template <class T>
void shuffle(std::vector<T>& all, std::mt19937_64& random) {  // written out: the standard's differ between libraries
  for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random() % i]);
}

}  // namespace

BatchOrder::BatchOrder(const LayerRunner& runner, const std::vector<std::size_t>& batches, std::int64_t tokens,
                       std::uint64_t seed)
    : random_(seed) {
  std::int64_t largest = 1;
  for (const std::size_t index : batches) {
    batches_.push_back(&runner.batches()[index]);
    largest = std::max(largest, batches_.back()->rows);
  }
  batches_per_step_ = static_cast<std::size_t>(std::max<std::int64_t>(1, tokens / largest));
}

const std::vector<const SequenceBatch*>& BatchOrder::next() {
  if (place_ == steps_.size()) deal();
  return steps_[place_++];
}

void BatchOrder::deal() {
  shuffle(batches_, random_);
  std::ranges::stable_sort(batches_, {}, &SequenceBatch::rows);
  steps_.clear();
  for (std::size_t begin = 0; begin < batches_.size(); begin += batches_per_step_) {
    const std::size_t end = std::min(begin + batches_per_step_, batches_.size());
    steps_.emplace_back(batches_.begin() + static_cast<std::ptrdiff_t>(begin),
                        batches_.begin() + static_cast<std::ptrdiff_t>(end));
  }
  shuffle(steps_, random_);
  place_ = 0;
}

void divide_batches(const LayerRunner& runner, std::vector<std::size_t>& fitted, std::vector<std::size_t>& held_back) {
  const std::size_t count = runner.batches().size();
  const std::size_t every = std::max(kHoldBackOneIn, (count + kMostHeldBack - 1) / kMostHeldBack);
  for (std::size_t i = 0; i < count; ++i) (i % every == every / 2 || count == 1 ? held_back : fitted).push_back(i);
  if (held_back.empty()) held_back = fitted;
  if (fitted.empty()) fitted = held_back;
}

std::int64_t held_back_tokens(std::int64_t tokens) {
  return std::clamp(tokens / static_cast<std::int64_t>(kHoldBackOneIn), std::min(tokens, kBatchTokens),
                    static_cast<std::int64_t>(kMostHeldBack) * kBatchTokens);
}

std::int64_t row_count(const std::vector<const SequenceBatch*>& batches) {
  std::int64_t rows = 0;
  for (const SequenceBatch* batch : batches) rows += batch->rows;
  return rows;
}

double rate_factor(int step, int steps) {
  const double done = static_cast<double>(step) / steps;
  const double warm = std::min(1.0, (step + 1) / std::max(1.0, kWarmUp * steps));
  return warm * (1 - done);
}

Fit fit(int steps, const Judgements& judgements, FitState state, const std::function<void(int)>& take,
        const std::function<double()>& error, const std::function<void()>& keep,
        const std::function<void(const FitState&)>& progress) {
  Fit& best = state.best;
  const auto judged = [&](int step) {  // times until after this step
    return static_cast<int>(std::int64_t{step} * judgements.count / steps);
  };
  if (state.step == 0) {
    keep();
    best.before = best.after = error();
  }
  const auto is_hopeless = [&] {
    return judgements.patience > 0 && judged(state.step) - judged(state.least_at) >= judgements.patience;
  };
  while (state.step < steps && !is_hopeless()) {
    const int step = ++state.step;
    take(step);
    if (step == steps || judged(step) != judged(step - 1)) {
      const double now = error();
      if (now < state.least) {
        state.least = now;
        state.least_at = step;
      }
      if (now < best.after) {
        best.after = now;
        best.steps = step;
        keep();
      }
    }
    progress(state);
  }
  return best;
}

}  // namespace qcqa
