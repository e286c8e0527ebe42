#pragma once

#include <vector>

#include "forward/runtime.hpp"

namespace qcqa {

struct AttentionOptions {
  int head_dim = 0;
  double scale = 1;
  double softcap = 0;           ///< 0: none
  int window = 0;               ///< 0: none
  std::vector<int> kv_head_of;  ///< per query head
};

/// One sequence: its rows of `queries` and its rows of `keys` and `values`. The last query is at the position of the
/// last key, so there may be more keys than queries (a cache) but not fewer.
struct AttentionSpan {
  std::int64_t query_row = 0, queries = 0;
  std::int64_t key_row = 0, keys = 0;
};

/// Causal attention of several sequences. Rows are tokens; within a row, heads follow one another (head_dim each).
/// @param queries  (rows, query heads * head_dim), last dimension contiguous
/// @param keys, values  (rows, KV heads * head_dim), last dimension contiguous; one row stride for both
/// @returns (rows of queries, query heads * head_dim), contiguous
[[nodiscard]] at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                                const std::vector<AttentionSpan>& spans, const AttentionOptions& options,
                                const Runtime& runtime);

}  // namespace qcqa
