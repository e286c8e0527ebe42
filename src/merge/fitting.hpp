#pragma once

#include <cstdint>
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

/// Whether a step is one of `times` at equal distances, the last among them. @param step  from 1
[[nodiscard]] bool is_time_to_judge(int step, int steps, int times);

}  // namespace qcqa
