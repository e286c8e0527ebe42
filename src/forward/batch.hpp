#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "forward/attention.hpp"
#include "forward/rotary.hpp"

namespace qcqa {

/// Some whole sequences whose tokens go through a layer together, one row of hidden states each. No padding.
struct SequenceBatch {
  std::int64_t first_row = 0;  ///< in the hidden states of all sequences
  std::int64_t rows = 0;
  std::vector<AttentionSpan> spans;  ///< rows of this batch; each sequence attends to itself
  RotaryRows rotary;
};

/// Cuts sequences, in order, into batches of at most `tokens` rows; a longer sequence is a batch of its own.
/// @param tables  for at least the longest sequence
[[nodiscard]] std::vector<SequenceBatch> make_batches(std::span<const std::span<const std::int32_t>> sequences,
                                                      const RotaryTables& tables, std::int64_t tokens);

}  // namespace qcqa
