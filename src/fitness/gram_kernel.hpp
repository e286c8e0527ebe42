#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "qcqa/checkpoint/dtype.hpp"

namespace qcqa {

/// What the kernel may be run on, from the narrowest on.
enum class VectorUnit { baseline, avx2, avx512 };

/// Of this processor.
[[nodiscard]] VectorUnit widest_vector_unit() noexcept;

/// Gram matrix of packed rows: out[i * n + j] = sum over elements [begin, end) of row_i * row_j, in float64. The same
/// bits on every unit.
/// @param rows   n pointers to packed little-endian elements, not necessarily aligned
/// @param dtype  F16, BF16, F32 or F64
/// @param unit   not above widest_vector_unit()
/// @returns n x n row-major, symmetric
[[nodiscard]] std::vector<double> gram_of_rows(std::span<const std::byte* const> rows, Dtype dtype, std::size_t begin,
                                               std::size_t end, VectorUnit unit = widest_vector_unit());

}  // namespace qcqa
