#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "statistics/layer_runner.hpp"

namespace qcqa {

/// The batches of each step, in a new random order each time all were seen. Those of a step are of nearly one size, so
/// that threads which take one each end together.
class BatchOrder {
 public:
  /// @param tokens  of a step at most, unless the largest batch has more
  BatchOrder(const LayerRunner& runner, const std::vector<std::size_t>& batches, std::int64_t tokens,
             std::uint64_t seed);

  [[nodiscard]] const std::vector<const SequenceBatch*>& next();

 private:
  void deal();

  std::vector<const SequenceBatch*> batches_;
  std::vector<std::vector<const SequenceBatch*>> steps_;
  std::size_t batches_per_step_ = 1;
  std::mt19937_64 random_;
  std::size_t place_ = 0;
};

/// Which batches to fit on, and which to judge by.
void divide_batches(const LayerRunner& runner, std::vector<std::size_t>& fitted, std::vector<std::size_t>& held_back);
/// About how many tokens of so many it judges by.
[[nodiscard]] std::int64_t held_back_tokens(std::int64_t tokens);

[[nodiscard]] std::int64_t row_count(const std::vector<const SequenceBatch*>& batches);

/// Of the learning rate: a short rise while it falls linearly to 0. @param step  from 0
[[nodiscard]] double rate_factor(int step, int steps);

/// How a fit came out.
struct Fit {
  double before = 0, after = 0;  ///< errors
  int steps = 0;                 ///< whose result was kept; 0: none was better than what it began with
};

/// Where a fit stands: enough to go on, with the weights.
struct FitState {
  int step = 0;  ///< steps taken; 0: not begun
  Fit best{};    ///< so far
  /// The least error that was judged since the beginning, and after which step. Steps from a good beginning make it
  /// worse at first, as long as their rate is high.
  double least = std::numeric_limits<double>::infinity();
  int least_at = 0;
};

/// When a fit looks at its error.
struct Judgements {
  int count = 8;     ///< at equal distances, the last step among them
  int patience = 0;  ///< so many in a row above the least one before them end the fit; 0: none do
};

/// Takes steps, judges what they come to, and keeps what was best.
/// @param state     where it begins
/// @param take      one step, from 1
/// @param keep      the weights as they are now are the best so far; called before the first step too
/// @param progress  called after each step
[[nodiscard]] Fit fit(int steps, const Judgements& judgements, FitState state, const std::function<void(int)>& take,
                      const std::function<double()>& error, const std::function<void()>& keep,
                      const std::function<void(const FitState&)>& progress);

}  // namespace qcqa
