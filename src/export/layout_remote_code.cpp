#include <optional>
#include <utility>

#include "export/embedded_code.hpp"
#include "export/layout.hpp"
#include "export/modeling_code.hpp"
#include "export/stock_class.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace remote_code {
namespace {

void require_model(const Model& model) {
  const Architecture& architecture = model.architecture();
  if (!architecture.no_remote_code.empty()) {
    throw Error(
        ErrorKind::unsupported, "--layout remote-code", architecture.no_remote_code, architecture.family,
        (architecture.kv_heads.key.empty() ? "" : "Use --layout gqa with one group count for all layers. Or: ") +
            use_of_any_class(architecture));
  }
  if (architecture.kv_heads.key.empty()) {
    throw Error(ErrorKind::unsupported, "--layout remote-code",
                "the " + architecture.family + " model class must have a setting for the number of KV heads", "none",
                use_of_any_class(architecture));
  }
  require_language_model(model, "--layout remote-code",
                         "Use --layout gqa with one group count for all layers, or expanded.");
}

void require_plan(const Model& model, const Plan& plan) {
  require_model(model);
  require_norms_of_groups(model, plan, "--layout remote-code");
  const std::vector<LayerHeads> layers = heads_per_layer(model, plan);
  require_places_of_queries(model, layers, "--layout remote-code");
  if (reads_head_dim(model)) return;
  for (const LayerHeads& heads : layers) {
    if (heads.query_heads() == heads.layer->query_heads) continue;
    throw Error(ErrorKind::unsupported, "--layout remote-code",
                "padding groups with zero query heads needs a class that reads head_dim",
                model.architecture().family + ", unequal groups in layer " + std::to_string(heads.layer->layer),
                "Use groups of equal size (--cardinality equal), or --layout expanded.");
  }
}

/// vLLM computes logits itself, and multiplies them by the number under this key, whatever the family calls its own.
void state_logit_scale(const Model& model, nlohmann::ordered_json& config) {
  static constexpr const char* kScale = "logit_scale";
  const std::optional<ForwardDescription>& forward = model.architecture().forward;
  if (!forward || forward->logit_multiplier.key == kScale) return;
  const ModelConfig& settings = model.settings();
  const double scale = settings.value(forward->logit_multiplier) / settings.value(forward->logit_divisor);
  if (scale != 1) config[kScale] = scale;
}

Blueprint build(const Model& model, const Plan& plan, const ExportOptions& options) {
  const Architecture& architecture = model.architecture();
  Blueprint blueprint;
  blueprint.heads = heads_per_layer(model, plan);
  blueprint.tensors = replace_heads(model, blueprint.heads, options.dtype);
  nlohmann::ordered_json config = base_config(model, options.dtype);
  config["model_type"] = kConvertedPrefix + architecture.model_types.front();
  config["architectures"] = {"QcqaForCausalLM"};
  for (const auto& [role, name] : {std::pair{"AutoConfig", "QcqaConfig"},
                                   {"AutoModel", "QcqaModel"},
                                   {"AutoModelForCausalLM", "QcqaForCausalLM"}}) {
    config["auto_map"][role] = std::string(kModelingModule) + "." + name;
  }
  std::vector<int> query, kv;
  for (const LayerHeads& heads : blueprint.heads) {
    query.push_back(heads.query_heads());
    kv.push_back(heads.kv_heads());
  }
  config[kQueryHeadsPerLayer] = query;
  config[kKvHeadsPerLayer] = kv;
  state_logit_scale(model, config);
  blueprint.config = std::move(config);
  add_modeling_file(blueprint, embedded_modeling_code(), architecture);
  return blueprint;
}

}  // namespace
}  // namespace remote_code

const LayoutRow& remote_code_layout() {
  static const LayoutRow kRow = {
      {Layout::remote_code, "remote-code",
       "for transformers, loaded with trust_remote_code=True, and vLLM, served with --trust-remote-code: the model's "
       "own class with head counts per layer, in a short modeling file of its own; any plan, unequal groups padded to "
       "the largest of their layer"},
      PlanLimits{},
      true,
      LayoutWriter{remote_code::require_model, remote_code::require_plan, remote_code::build},
      std::nullopt};
  return kRow;
}

}  // namespace qcqa
