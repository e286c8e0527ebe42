#include "forward/batch.hpp"

namespace qcqa {

std::vector<SequenceBatch> make_batches(std::span<const std::span<const std::int32_t>> sequences,
                                        const RotaryTables& tables, std::int64_t tokens) {
  std::vector<SequenceBatch> batches;
  std::int64_t row = 0;
  for (std::size_t i = 0; i < sequences.size();) {
    SequenceBatch batch{.first_row = row, .rows = 0, .spans = {}, .rotary = {}};
    std::vector<std::int64_t> positions;
    std::vector<std::int64_t> lengths;
    for (; i < sequences.size() &&
           (batch.rows == 0 || batch.rows + static_cast<std::int64_t>(sequences[i].size()) <= tokens);
         ++i) {
      const auto length = static_cast<std::int64_t>(sequences[i].size());
      if (length > 0) batch.spans.push_back({batch.rows, length, batch.rows, length});
      for (std::int64_t position = 0; position < length; ++position) positions.push_back(position);
      lengths.insert(lengths.end(), sequences[i].size(), length);
      batch.rows += length;
    }
    row += batch.rows;
    if (batch.rows == 0) continue;
    batch.rotary = tables.rows(positions, lengths);
    batches.push_back(std::move(batch));
  }
  return batches;
}

}  // namespace qcqa
