#pragma once

#include "qcqa/checkpoint/tensor_view.hpp"

namespace qcqa {

/// A matrix seen as (columns, rows), or a stack (..., rows, columns) of them. @param matrix  of two dimensions or more
[[nodiscard]] TensorView transposed_view(const TensorView& matrix);

/// Rows and columns of a packed matrix exchanged. @param bytes  (rows, columns)  @param out  (columns, rows)
void transpose_packed(std::span<const std::byte> bytes, std::int64_t rows, std::int64_t columns,
                      std::size_t element_bytes, std::span<std::byte> out);

}  // namespace qcqa
