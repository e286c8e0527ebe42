#pragma once

#include <cstdint>
#include <span>

#include "qcqa/checkpoint/tensor_view.hpp"

namespace qcqa {

/// float32 values of a matrix of 8-bit floats, each times the scale of its block. The scales form a matrix of their
/// own: one element per block, so a single element is a scale of the whole, and one column a scale per row.
class Float8Values final : public DerivedValues {
 public:
  /// @param quantised  (rows, columns) of F8_E4M3 or F8_E5M2
  /// @param scales     F32, BF16, F16 or F8_E8M0 (U8 with the same meaning: powers of two); no elements: all 1
  /// @param block_rows, block_columns  elements that share a scale
  Float8Values(TensorView quantised, TensorView scales, std::int64_t block_rows, std::int64_t block_columns);

  void make(std::uint64_t first, std::span<std::byte> out) const override;

 private:
  [[nodiscard]] float scale_of(std::int64_t row, std::int64_t column_block) const;

  TensorView quantised_, scales_;
  std::int64_t columns_, block_rows_, block_columns_, scale_columns_;
};

}  // namespace qcqa
