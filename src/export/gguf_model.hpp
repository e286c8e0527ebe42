#pragma once

#include "export/layout.hpp"

namespace qcqa {

/// A GGUF file that holds these heads: architecture "llama" or the family's own when all layers are alike, "deci" when
/// not.
/// @throws Error(unsupported) for models that these architectures cannot compute
[[nodiscard]] Blueprint build_gguf(const Model& model, std::vector<LayerHeads> heads, const ExportOptions& options);

/// Throws Error(unsupported) when the model cannot be written as GGUF, whatever the plan.
void require_gguf(const Model& model);

/// The same, and unless it computes what Llama computes.
void require_gguf_like_llama(const Model& model);

/// Throws Error(unsupported) for heads that no GGUF file of this model can hold.
void require_gguf_heads(const Model& model, const std::vector<LayerHeads>& heads);

/// Throws Error(unsupported) when a GGUF file cannot hold the model's tokenizer. Apart from the above: it is no
/// question of plans or layouts, so no choice among those gives it as a reason.
void require_gguf_tokenizer(const Model& model);

}  // namespace qcqa
