#include "qcqa/model/architecture.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace qcqa {
namespace {

constexpr std::string_view kPlaceholder = "{layer}";

std::string with_layer(std::string_view prefix, std::string_view layer) {
  std::string text(prefix);
  return text.replace(text.find(kPlaceholder), kPlaceholder.size(), layer);
}

}  // namespace

std::string_view Architecture::layer_stem() const {
  return std::string_view(layer_prefix).substr(0, layer_prefix.find(kPlaceholder));
}

std::string Architecture::prefix_of(int layer) const { return prefix_of(std::to_string(layer)); }

std::string Architecture::prefix_of(std::string_view layer) const { return with_layer(layer_prefix, layer); }

std::string Architecture::tensor_name(int layer, std::string_view tensor, std::string_view suffix) const {
  return with_layer(attention_prefix, std::to_string(layer)).append(tensor).append(suffix);
}

const Architecture& variant_of(const Architecture& family, const nlohmann::json& config) {
  const auto holds = [&](const Condition& condition) {
    const auto value = config.find(condition.key);
    // As values, not as texts: 0.0 is 0.
    const nlohmann::json found = value == config.end() ? nlohmann::json::parse(condition.fallback)
                                 : value->is_null()    ? nlohmann::json::parse(condition.null)
                                                       : *value;
    return found == nlohmann::json::parse(condition.equals);
  };
  const auto found = std::ranges::find_if(
      family.variants, [&](const Architecture& variant) { return std::ranges::all_of(variant.when, holds); });
  return found == family.variants.end() ? family : *found;
}

bool has_gates(const Architecture& architecture) {
  return std::ranges::any_of(architecture.projections, [](const Projection& projection) {
    return std::ranges::find(projection.holds, HeadRole::gate) != projection.holds.end();
  });
}

bool has_fused_gguf(const Architecture& architecture) { return architecture.gguf && architecture.gguf->fused; }

MlpNames ExpertsDescription::of_expert(int expert) const {
  MlpNames own = names;
  for (std::string* name : {&own.gate, &own.up, &own.down}) {
    if (const auto at = name->find(kExpert); at != std::string::npos)
      name->replace(at, kExpert.size(), std::to_string(expert));
  }
  return own;
}

std::span<const Architecture> supported_architectures() { return Families::built_in().architectures(); }

const Architecture& architecture_of(std::string_view family) {
  return *std::ranges::find(supported_architectures(), family, &Architecture::family);
}

const Architecture& find_architecture(const nlohmann::json& config, const std::filesystem::path& config_file) {
  return Families::built_in().find(config, config_file);
}

}  // namespace qcqa
