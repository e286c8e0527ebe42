#pragma once

#include <cstddef>
#include <span>

#include "qcqa/checkpoint/dtype.hpp"

namespace qcqa {

/// Widens packed little-endian elements exactly. `bytes` may be misaligned.
/// `out.size()` elements are read; bytes.size() must be out.size() * element size.
/// @throws Error(invalid_argument) unless is_attention_dtype(dtype) and the sizes agree
void decode(std::span<const std::byte> bytes, Dtype dtype, std::span<double> out);

/// As above into float32; F64 input is rounded to nearest even.
void decode(std::span<const std::byte> bytes, Dtype dtype, std::span<float> out);

/// Rounds once, to nearest even (subnormals, overflow to infinity and NaN as IEEE 754 has it).
void encode(std::span<const double> values, Dtype dtype, std::span<std::byte> out);

/// Packed elements of one type in another, each rounded once; a plain copy when they agree.
void convert_elements(std::span<const std::byte> bytes, Dtype from, Dtype to, std::span<std::byte> out);

/// Whether every element is finite. One pass, no widening.
[[nodiscard]] bool all_finite(std::span<const std::byte> bytes, Dtype dtype);

}  // namespace qcqa
