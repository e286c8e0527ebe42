#pragma once

#include <ATen/core/Tensor.h>

namespace qcqa {

/// What scores of each query head lose with the distance of a key (ALiBi; Press et al., "Train Short, Test Long", arXiv
/// 2108.12409, section 3): 2^(-exponent i / n) for head i of n, from 1, where n is a power of two; else the slopes of
/// the next smaller power of two, then every second one of the next larger.
/// @returns (query heads), float32, on the CPU
[[nodiscard]] at::Tensor alibi_slopes(int query_heads, double exponent);

}  // namespace qcqa
