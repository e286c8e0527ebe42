#pragma once

#include <ATen/core/Tensor.h>

#include <utility>
#include <vector>

#include "model/attention_weights.hpp"

namespace qcqa {

/// How far keys may be scaled without changing the model.
enum class KeyScale {
  any,     ///< as KeyFreedom says, what is done to them is undone in the queries
  length,  ///< they are normalised head by head: a positive factor per head, no more
  none,    ///< all heads of a token are normalised together
};

/// What a layer's attention allows to be changed between keys and queries, or values and output, without changing the
/// model.
struct KeyFreedom {
  int rotary_dim = 0;  ///< of a head's first dimensions, which are planes: a complex number each. The others are not
                       ///< rotated: any invertible matrix
  bool neighbours = false;  ///< planes are (2i, 2i + 1), not (i, i + rotary_dim / 2)
  KeyScale scale = KeyScale::any;
  /// Each number of a head's values has a gate of its own: a factor per number is all that the output can undo.
  bool fixed_values = false;
  bool clipped =
      false;  ///< keys and values are clamped, which commutes with none of this: it costs little, not nothing
};

/// Per layer, as the family's attention says. What cannot be run has it too.
[[nodiscard]] std::vector<KeyFreedom> key_freedoms(const ModelConfig& config);

/// Both parts of the planes of a head. @param head  (..., head_dim, inputs)  @returns views (..., planes, inputs)
[[nodiscard]] std::pair<at::Tensor, at::Tensor> planes_of(const at::Tensor& head, const KeyFreedom& freedom);

/// The same as complex numbers: (..., planes, inputs).
[[nodiscard]] at::Tensor complex_planes(const at::Tensor& head, const KeyFreedom& freedom);

/// Inner products of the rows of heads under the second moment C of the attention input (identity when there is none),
/// and how much each row matters: what the subspace and aligned merges, and their costs, need of a layer's weights.
///
/// n KV heads, d = head_dim, r = d - rotary_dim.
struct HeadBlocks {
  int heads = 0, head_dim = 0, planes = 0;
  KeyScale key_scale{};        ///< see KeyFreedom::scale
  bool fixed_values = false;   ///< see KeyFreedom
  double score_to_output = 0;  ///< mean square of all heads' outputs over that of all their scores
  at::Tensor value{};          ///< (n d, n d): V_i C V_j^T
  at::Tensor value_weight{};   ///< (n, d, d): sum over the query heads of i of O_q^T O_q
  at::Tensor plane{};          ///< (planes, n, n) complex: k_i C k_j^H, where k = one row of plane p + i * the other
  at::Tensor plane_weight{};   ///< (planes, n): energy of the queries' plane, sum over query heads of q C q^H
  at::Tensor rest{};           ///< (n r, n r): as `value` for the key rows that are not rotated
  at::Tensor rest_weight{};    ///< (n, r, r): sum over query heads of Q_q C Q_q^T

  [[nodiscard]] int rest_dim() const noexcept { return head_dim - 2 * planes; }
};

/// @param second_moment  (inputs, inputs) mean of x x^T over tokens, x the input of the attention (with a 1 below it
/// where
///                       there are biases); undefined: the identity
[[nodiscard]] HeadBlocks compute_head_blocks(const AttentionWeights& weights, const KeyFreedom& freedom,
                                             const at::Tensor& second_moment);

/// The rows and columns of some heads. @param gram  (n rows, n rows)  @param index  (m) heads
[[nodiscard]] at::Tensor select_heads(const at::Tensor& gram, const at::Tensor& index, std::int64_t rows);

}  // namespace qcqa
