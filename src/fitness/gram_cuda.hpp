#pragma once

#include "qcqa/fitness/head_gram.hpp"

namespace qcqa {

/// compute_head_gram on a GPU through LibTorch: the packed bytes travel, widening and products happen there in float64.
[[nodiscard]] HeadGram gram_on_cuda(const AttentionLayer& layer, const Device& device);

}  // namespace qcqa
