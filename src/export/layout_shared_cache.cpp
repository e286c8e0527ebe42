#include <string>
#include <utility>

#include "export/embedded_code.hpp"
#include "export/layout.hpp"
#include "export/modeling_code.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace shared_cache {
namespace {

void require_model(const Model& model) {
  static constexpr const char* kLayout = "--layout shared-cache";
  const Architecture& architecture = model.architecture();
  const std::string instead =
      architecture.kv_heads.key.empty() ? "Use --layout expanded." : "Use --layout gqa or expanded.";
  if (!architecture.no_shared_cache.empty())
    throw Error(ErrorKind::unsupported, kLayout, architecture.no_shared_cache, architecture.family, instead);
  require_language_model(model, kLayout, instead);
}

void require_plan(const Model& model, const Plan&) { require_model(model); }

Blueprint build(const Model& model, const Plan& plan, const ExportOptions& options) {
  const Architecture& architecture = model.architecture();
  Blueprint blueprint = layout_writer(Layout::expanded, FileFormat::safetensors).build(model, plan, options);
  nlohmann::ordered_json groups = nlohmann::ordered_json::array();
  for (int place = 0; place < model.settings().shape().layers; ++place) groups.push_back(nullptr);
  for (const AttentionLayer& layer : model.layers()) {
    const Grouping& grouping = plan.grouping(layer.layer);
    groups[static_cast<std::size_t>(layer.place)] = grouping.labels();
    blueprint.cached.push_back(grouping.groups());
  }
  blueprint.config[kKvHeadGroups] = std::move(groups);
  blueprint.config["auto_map"]["AutoModelForCausalLM"] = std::string(kModelingModule) + "." + architecture.model_class;
  add_modeling_file(blueprint, embedded_shared_cache_code(), architecture);
  return blueprint;
}

}  // namespace
}  // namespace shared_cache

const LayoutRow& shared_cache_layout() {
  static const LayoutRow kRow = {
      {Layout::shared_cache, "shared-cache",
       "for transformers, loaded with trust_remote_code=True: the original shape and as many weights, but a modeling "
       "file that caches one head of each group; any plan of nearly any family, no padding"},
      PlanLimits{},
      true,
      LayoutWriter{shared_cache::require_model, shared_cache::require_plan, shared_cache::build},
      std::nullopt};
  return kRow;
}

}  // namespace qcqa
