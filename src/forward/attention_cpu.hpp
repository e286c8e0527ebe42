#pragma once

#include "forward/attention.hpp"

namespace qcqa {

/// attend() with the kernels of this program: float32 on the CPU, one unit of work per sequence and KV head.
[[nodiscard]] at::Tensor attend_on_cpu(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                                       const std::vector<AttentionSpan>& spans, const AttentionOptions& options);

}  // namespace qcqa
