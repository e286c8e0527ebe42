#include "export/gguf_model.hpp"
#include "export/layout.hpp"

namespace qcqa {
namespace expanded {
namespace {

std::vector<LayerHeads> heads_of(const Model& model) {
  std::vector<LayerHeads> heads;
  for (const AttentionLayer& layer : model.layers()) heads.push_back(expanded_heads(layer));
  return heads;
}

Blueprint build(const Model& model, const Plan&, const ExportOptions& options) {
  Blueprint blueprint;
  blueprint.heads = heads_of(model);
  blueprint.tensors = replace_heads(model, blueprint.heads, options.dtype);
  blueprint.config = base_config(model, options.dtype);
  return blueprint;
}

Blueprint build_as_gguf(const Model& model, const Plan&, const ExportOptions& options) {
  return build_gguf(model, heads_of(model), options);
}

void any_plan(const Model&, const Plan&) {}

}  // namespace
}  // namespace expanded

const LayoutRow& expanded_layout() {
  static const LayoutRow kRow = {
      {Layout::expanded, "expanded", "the original shape with merged heads copied back: any grouping, saves no memory"},
      PlanLimits{},
      true,
      LayoutWriter{[](const Model&) {}, expanded::any_plan, expanded::build},
      LayoutWriter{require_gguf, [](const Model& model, const Plan&) { require_gguf(model); },
                   expanded::build_as_gguf}};
  return kRow;
}

}  // namespace qcqa
