#include "export/gguf_model.hpp"
#include "export/layout.hpp"

namespace qcqa {
namespace deci {
namespace {

Blueprint build(const Model& model, const Plan& plan, const ExportOptions& options) {
  return build_gguf(model, heads_per_layer(model, plan), options);
}

void require_plan(const Model& model, const Plan& plan) {
  require_gguf_like_llama(model);
  (void)build(model, plan, {.layout = Layout::deci, .format = FileFormat::gguf});  // reads no tensor
}

}  // namespace
}  // namespace deci

const LayoutRow& deci_layout() {
  static const LayoutRow kRow = {
      {Layout::deci, "deci",
       "with --format gguf, for llama.cpp: head counts per layer, unequal groups padded to the largest of their layer"},
      PlanLimits{},
      false,
      std::nullopt,
      LayoutWriter{require_gguf_like_llama, deci::require_plan, deci::build}};
  return kRow;
}

}  // namespace qcqa
