#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include <ATen/core/Tensor.h>

namespace qcqa {

struct AttentionOptions {
  int head_dim = 0;
  double scale = 1;
  double softcap = 0;             ///< 0: none
  int window = 0;                 ///< tokens a query sees, itself included; 0: all
  std::vector<int> kv_head_of{};  ///< per query head; groups may be unequal
  /// Per query head, float32, or undefined: the score of something of value zero beside the keys.
  at::Tensor sinks{};
  /// Per query head, float32, or undefined: what a score loses with each token between a query and a key (ALiBi; Press
  /// et al., "Train Short, Test Long", arXiv 2108.12409, section 3).
  at::Tensor slopes{};
  bool rounds_slopes = false;  ///< see AlibiDescription::rounded; without a window
};

/// One sequence: its rows of `queries` and its rows of `keys` and `values`. The last query is at the position of the
/// last key, so there may be more keys than queries (a cache) but not fewer.
struct AttentionSpan {
  std::int64_t query_row = 0, queries = 0;
  std::int64_t key_row = 0, keys = 0;
};

/// Causal attention of several sequences. Gradients can be taken of it. Rows are tokens; within a row, heads follow one
/// another (head_dim each).
/// @param queries  (rows, query heads * head_dim), last dimension contiguous
/// @param keys, values  (rows, KV heads * head_dim), last dimension contiguous
/// @param spans  in the order of their rows of `queries`, all of which they cover
/// @returns (rows of queries, query heads * head_dim), contiguous
[[nodiscard]] at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                                const std::vector<AttentionSpan>& spans, const AttentionOptions& options);

}  // namespace qcqa
