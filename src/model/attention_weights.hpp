#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "qcqa/model/model.hpp"

namespace qcqa {

/// The weights of one layer's attention as float64 tensors, head by head. Biases of queries, keys and values are one
/// more input column (zeros where only others have a bias), so that what is linear in the input covers them.
struct AttentionWeights {
  at::Tensor query;   ///< (query_heads, head_dim, inputs), inputs = hidden_size or hidden_size + 1
  at::Tensor key;     ///< (kv_heads, head_dim, inputs)
  at::Tensor value;   ///< (kv_heads, head_dim, inputs)
  at::Tensor output;  ///< (query_heads, hidden_size, head_dim)
  /// (heads, head_dim): weights in a norm of queries or keys that are each head's own; undefined: there are none
  at::Tensor query_norm{}, key_norm{};
  at::Tensor gate{};  ///< as `query`, of layers whose query heads have gates; undefined: they have none

  [[nodiscard]] int query_heads() const { return static_cast<int>(query.size(0)); }
  [[nodiscard]] int kv_heads() const { return static_cast<int>(key.size(0)); }
  [[nodiscard]] int head_dim() const { return static_cast<int>(query.size(1)); }
  [[nodiscard]] std::int64_t inputs() const { return query.size(2); }
  [[nodiscard]] int queries_per_kv_head() const { return query_heads() / kv_heads(); }
};

[[nodiscard]] AttentionWeights read_attention_weights(const AttentionLayer& layer);

/// One tensor's bytes, to replace that of a checkpoint.
struct TensorBytes {
  std::string name;
  Dtype dtype{};
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

/// The layer's projections and output tensor with these weights in them, names, shapes, types and order of heads as
/// in the checkpoint: the inverse of read_attention_weights.
[[nodiscard]] std::vector<TensorBytes> attention_tensors(const Model& model, const AttentionLayer& layer,
                                                         const AttentionWeights& weights);

/// Any tensor's values rounded to a type. @param values  contiguous float64 on the CPU
[[nodiscard]] TensorBytes tensor_bytes(std::string name, const at::Tensor& values, Dtype dtype);

}  // namespace qcqa
