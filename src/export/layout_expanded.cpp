#include "export/layout.hpp"

namespace qcqa {
namespace {

Blueprint build(const Model& model, const Plan& plan, const ExportOptions& options) {
  Blueprint blueprint;
  for (const AttentionLayer& layer : model.layers()) {
    blueprint.heads.push_back(expanded_heads(layer, plan.layers[static_cast<std::size_t>(layer.layer)]));
  }
  blueprint.tensors = replace_heads(model, blueprint.heads, options.dtype);
  blueprint.config = base_config(model, options.dtype);
  return blueprint;
}

}  // namespace

const LayoutDescription& expanded_layout() {
  static const LayoutDescription kRow = {
      {Layout::expanded, "expanded", "the original shape with merged heads copied back: any grouping, saves no memory"},
      PlanShape::any,
      [](const Model&) {},
      [](const Model&, const Plan&) {},
      build};
  return kRow;
}

}  // namespace qcqa
