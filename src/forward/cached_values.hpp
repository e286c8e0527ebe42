#pragma once

#include <ATen/core/Tensor.h>

#include "qcqa/forward/kv_cache.hpp"

namespace qcqa {

/// Keys or values as they come back from a KV cache of this type: rounded as it stores them, in the type that they
/// had. The same tensor for f32. Values beyond the largest of f16 become infinite, of fp8_e4m3 the largest, 448.
/// - bf16, f16: to nearest even.
/// - fp8_e4m3: to nearest even among the 8-bit floats of Micikevicius et al., "FP8 Formats for Deep Learning", arXiv
///   2209.05433, table 1; scale 1, as vLLM has it where a checkpoint brings none.
/// - q8_0, q4_0: as ggml's quantize_row_q8_0_ref and quantize_row_q4_0_ref. llama.cpp may turn heads by a fixed
///   (Hadamard) rotation before it stores them in blocks; that is left out.
/// @param rows  (tokens, KV heads * head_dim); for q8_0 and q4_0 head_dim is a multiple of 32
[[nodiscard]] at::Tensor as_cached(const at::Tensor& rows, KvCacheType type);

}  // namespace qcqa
