#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace qcqa {

// The products of attention where every sequence has one query. They read a cache once, in the order in which it lies;
// matrix products would copy the keys of every head first, which takes several times as long.

/// scores[b, h, j] = <queries[b, h], keys[b, j, kv(h)]>, kv(h) the KV head of query head h.
/// @param queries  (sequences, query heads, head_dim) float32 on the CPU, last dimension contiguous; so are keys
/// @param keys     (sequences, keys, KV heads, head_dim)
/// @param kv_head_of  per query head
/// @returns (sequences, query heads, keys)
[[nodiscard]] at::Tensor decode_scores(const at::Tensor& queries, const at::Tensor& keys,
                                       const std::vector<int>& kv_head_of);

/// out[b, h] = sum over j of weights[b, h, j] values[b, j, kv(h)].
/// @param weights  (sequences, query heads, keys) float32 on the CPU, contiguous
/// @param values   as `keys` above
/// @returns (sequences, query heads, head_dim)
[[nodiscard]] at::Tensor decode_sums(const at::Tensor& weights, const at::Tensor& values,
                                     const std::vector<int>& kv_head_of);

}  // namespace qcqa
