#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "qcqa/checkpoint/dtype.hpp"

namespace qcqa {

/// Gram matrix of packed rows: out[i * n + j] = sum over elements [begin, end) of row_i * row_j, in float64.
/// Picks the widest vector unit of this processor at run time.
/// @param rows   n pointers to packed little-endian elements, not necessarily aligned
/// @param dtype  F16, BF16, F32 or F64
/// @returns n x n row-major, symmetric
[[nodiscard]] std::vector<double> gram_of_rows(std::span<const std::byte* const> rows, Dtype dtype, std::size_t begin,
                                               std::size_t end);

}  // namespace qcqa
