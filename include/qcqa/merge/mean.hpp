#pragma once

#include <cstddef>
#include <span>

#include "qcqa/checkpoint/dtype.hpp"

namespace qcqa {

/// Mean pooling (GQA, arXiv 2305.13245, section 2.1): the elementwise mean of the members' rows, formed in float64 and
/// rounded once. One member, or equal members of F16, BF16 or F32, come back
/// bit for bit when the types agree.
/// @param members  packed elements of `from`, all of one size
/// @param out      as many elements of `to`
void merge_mean(std::span<const std::span<const std::byte>> members, Dtype from, Dtype to, std::span<std::byte> out);

/// Converts packed elements from one floating-point type to another; a plain copy when they agree.
void convert_elements(std::span<const std::byte> bytes, Dtype from, Dtype to, std::span<std::byte> out);

}  // namespace qcqa
