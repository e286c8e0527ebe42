#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <vector>

#include "merge/layer_streams.hpp"

namespace qcqa {

/// Batches in a new random order each time all were seen.
class BatchOrder {
 public:
  BatchOrder(const LayerStreams& streams, std::vector<std::size_t> batches, std::uint64_t seed);

  /// The next ones, of at least so many tokens.
  [[nodiscard]] std::vector<const SequenceBatch*> next(std::int64_t tokens);

 private:
  void shuffle();

  const LayerStreams* streams_;
  std::vector<std::size_t> batches_;
  std::mt19937_64 random_;
  std::size_t place_ = 0;
};

[[nodiscard]] std::int64_t rows_of(const std::vector<const SequenceBatch*>& batches);

/// Of the learning rate: a short rise, then a cosine to 0. @param step  from 0
[[nodiscard]] double rate_factor(int step, int steps);

/// How a fit came out.
struct Fit {
  double before = 0, after = 0;  ///< errors
  int steps = 0;                 ///< whose result was kept; 0: none was better than what it began with
};

/// Takes steps, looks at the error some times at equal distances, the last step among them, and keeps what was best.
/// @param take      one step, from 1
/// @param keep      the weights as they are now are the best so far; called before the first step too
/// @param progress  called after each step
[[nodiscard]] Fit fit(int steps, int judgements, const std::function<void(int)>& take,
                      const std::function<double()>& error, const std::function<void()>& keep,
                      const std::function<void(int)>& progress);

}  // namespace qcqa
