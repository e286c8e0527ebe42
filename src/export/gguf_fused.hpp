#pragma once

#include "export/layout.hpp"

namespace qcqa {

// Of models whose family has_fused_gguf().

/// Throws Error(unsupported) when llama.cpp's architecture computes something else than the model, whatever the plan.
void require_fused_gguf(const Model& model);

/// Throws Error(unsupported) for heads that it cannot hold.
void require_fused_heads(const Model& model, const std::vector<LayerHeads>& heads);

/// A GGUF file of that architecture, which the model has.
/// @param heads  as stored
[[nodiscard]] Blueprint build_fused_gguf(const Model& model, std::vector<LayerHeads> heads,
                                         const ExportOptions& options);

}  // namespace qcqa
