#pragma once

#include "qcqa/model/model.hpp"

namespace qcqa {

/// Where a model's logits come from. The one answer for evaluation and for everything that is written.
struct OutputHead {
  const TensorView* weight = nullptr;  ///< (vocabulary, hidden size)
  const TensorView* bias = nullptr;    ///< (vocabulary), or none
  bool tied = false;                   ///< the weight is the embedding
};

/// As transformers 5 decides it: config.json may tie the head to the embedding, but a stored head of other values
/// counts for itself. Compares the two where both are stored and config.json ties them.
/// @throws Error(unsupported) when the checkpoint has no head and none is tied: a base model, a classifier
[[nodiscard]] OutputHead output_head(const Model& model);

/// The same checks, without a look at the values.
void require_output_head(const Model& model);

}  // namespace qcqa
