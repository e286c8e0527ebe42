#include "qcqa/model/architecture.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "model/embedded_architectures.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

constexpr std::string_view kPlaceholder = "{layer}";

std::string supported_list() {
  std::string list;
  for (const Architecture& architecture : supported_architectures()) {
    for (const std::string& type : architecture.model_types) list += (list.empty() ? "" : ", ") + type;
  }
  return list;
}

}  // namespace

std::string ForwardDescription::prefix_of(int layer) const {
  std::string prefix = layer_prefix;
  return prefix.replace(prefix.find(kPlaceholder), kPlaceholder.size(), std::to_string(layer));
}

std::string_view Architecture::layer_stem() const {
  return std::string_view(attention_prefix).substr(0, attention_prefix.find(kPlaceholder));
}

std::string Architecture::tensor_name(int layer, std::string_view tensor, std::string_view suffix) const {
  std::string name = attention_prefix;
  name.replace(name.find(kPlaceholder), kPlaceholder.size(), std::to_string(layer));
  return name.append(tensor).append(suffix);
}

std::span<const Architecture> supported_architectures() {
  static const std::vector<Architecture> kAll = [] {
    std::vector<Architecture> all;
    for (const EmbeddedFile& file : embedded_architectures()) {
      all.push_back(parse_architecture(file.content, file.name));
    }
    std::ranges::sort(all, {}, &Architecture::family);
    return all;
  }();
  return kAll;
}

const Architecture& architecture_of(std::string_view family) {
  return *std::ranges::find(supported_architectures(), family, &Architecture::family);
}

const Architecture& find_architecture(const nlohmann::json& config, const std::filesystem::path& config_file) {
  const auto type = config.find("model_type");
  if (type == config.end() || !type->is_string()) {
    throw Error(ErrorKind::unsupported, config_file.string(), "config.json must name a model_type",
                type == config.end() ? "none" : type->dump(), "Supported: " + supported_list() + ".");
  }
  std::string name = type->get<std::string>();
  // What qcqa wrote names its class in the folder, so that transformers does not choose.
  const bool converted = name.starts_with(kConvertedPrefix);
  if (converted) name.erase(0, std::string_view(kConvertedPrefix).size());
  for (const Architecture& named : supported_architectures()) {
    if (std::ranges::find(named.model_types, name) == named.model_types.end()) continue;
    const bool changes = named.becomes && !converted && config.contains(named.becomes->key);
    const Architecture& architecture = changes ? architecture_of(named.becomes->family) : named;
    for (const Refusal& refusal : architecture.refusals) {
      const auto value = config.find(refusal.key);
      if (value != config.end() && value->dump() == refusal.equals) {
        throw Error(ErrorKind::unsupported, config_file.string(),
                    refusal.key + " must not be " + refusal.equals + " (" + refusal.why + ")");
      }
    }
    return architecture;
  }
  throw Error(ErrorKind::unsupported, config_file.string(), "no description of this model_type's attention tensors",
              type->dump(), "Supported: " + supported_list() + ".");
}

}  // namespace qcqa
