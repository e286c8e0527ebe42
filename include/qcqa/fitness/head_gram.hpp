#pragma once

#include <vector>

#include "qcqa/fitness/pairwise_cost.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/support/device.hpp"

namespace qcqa {

/// Inner products of the KV heads of one layer: k[i * heads + j] = <K_i, K_j> (Frobenius), v likewise. A bias counts as
/// one more input column of its head. All that a WSE search needs to know of the weights.
struct HeadGram {
  int heads = 0;
  std::vector<double> k, v;  ///< row-major heads x heads, symmetric
};

/// Reads the layer's key and value bytes once; products and sums in float64. The result does not depend on the number
/// of OpenMP threads. On CUDA the products are float64 as well.
/// @throws Error(corrupt) naming the tensor when a weight is NaN or infinite
[[nodiscard]] HeadGram compute_head_gram(const AttentionLayer& layer, const Device& device = {});

/// The weight-sharing error as a group cost: squared distances follow from inner products.
/// QCQA, arXiv 2406.10247, section 3.2 (equation for WSE).
[[nodiscard]] PairwiseCost wse_cost(const HeadGram& gram);

}  // namespace qcqa
