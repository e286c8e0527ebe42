#include <algorithm>

#include <nlohmann/json.hpp>

#include "model/descriptions.hpp"
#include "model/embedded_architectures.hpp"
#include "model/unknown_type.hpp"
#include "qcqa/model/architecture.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// model_type of a config.json.
std::string named_type(const nlohmann::json& config, const std::filesystem::path& config_file,
                       const std::string& supported) {
  const auto type = config.find("model_type");
  if (type != config.end() && type->is_string()) return type->get<std::string>();
  throw Error(ErrorKind::unsupported, config_file.string(), "config.json must name a model_type",
              type == config.end() ? "none" : type->dump(), "Supported: " + supported + ".");
}

bool is_refused(const Refusal& refusal, const nlohmann::json& value, const nlohmann::json& config) {
  if (!refusal.equals.empty()) return value == nlohmann::json::parse(refusal.equals);
  if (refusal.any_value) return true;
  if (value.is_null()) return false;
  if (!refusal.differs_from.empty()) {
    const auto other = config.find(refusal.differs_from);
    return other != config.end() && *other != value;
  }
  return value != false && value != 0;
}

void require_no_refusal(const Architecture& architecture, const nlohmann::json& config,
                        const std::filesystem::path& config_file) {
  for (const Refusal& refusal : architecture.refusals) {
    const auto value = config.find(refusal.key);
    if (value == config.end()) continue;
    if (!is_refused(refusal, *value, config)) continue;
    const std::string rule = !refusal.differs_from.empty() ? "be " + refusal.differs_from
                             : refusal.equals.empty()      ? "be absent"
                                                           : "not be " + refusal.equals;
    throw Error(ErrorKind::unsupported, config_file.string(), refusal.key + " must " + rule + " (" + refusal.why + ")",
                refusal.differs_from.empty() ? std::string() : value->dump());
  }
}

}  // namespace

const Families& Families::built_in() {
  static const Families kAll = [] {
    Families all;
    for (const EmbeddedFile& file : embedded_architectures()) all.add(file.content, file.name);
    return all;
  }();
  return kAll;
}

Families Families::with(std::string_view json_text, std::string_view where) const {
  Families more = *this;
  more.add(json_text, where);
  return more;
}

Families Families::with_unknown_as(const std::string& family) const {
  const auto found = std::ranges::find(architectures_, family, &Architecture::family);
  if (found != architectures_.end() && !found->forward) {
    throw Error(ErrorKind::invalid_argument, "--family",
                "must be one of those whose tensors are all known, as of families that can be run", family);
  }
  if (found == architectures_.end()) {
    std::string names;
    for (const Architecture& architecture : architectures_) {
      if (architecture.forward) names += (names.empty() ? "" : ", ") + architecture.family;
    }
    throw Error(ErrorKind::invalid_argument, "--family", "must be one of " + names, family);
  }
  Families families = *this;
  families.unknown_as_ = family;
  return families;
}

bool Families::knows(std::string_view model_type) const {
  if (model_type.starts_with(kConvertedPrefix)) model_type.remove_prefix(std::string_view(kConvertedPrefix).size());
  const auto has_type = [&](const auto& family) {
    return std::ranges::find(family.model_types, model_type) != family.model_types.end();
  };
  return std::ranges::any_of(architectures_, has_type) || std::ranges::any_of(composites_, has_type);
}

void Families::add(std::string_view json_text, std::string_view where) {
  const nlohmann::json document = parse_description(json_text, where);
  if (is_composite(document)) {
    composites_.push_back(parse_composite(document, std::string(where)));
    std::ranges::sort(composites_, {}, &Composite::family);
  } else {
    architectures_.push_back(parse_architecture(document, std::string(where)));
    std::ranges::sort(architectures_, {}, &Architecture::family);
  }
}

const Composite* Families::find_composite(const nlohmann::json& config) const {
  const auto type = config.find("model_type");
  if (type == config.end() || !type->is_string()) return nullptr;
  const auto found = std::ranges::find_if(composites_, [&](const Composite& composite) {
    return std::ranges::find(composite.model_types, type->get_ref<const std::string&>()) != composite.model_types.end();
  });
  return found == composites_.end() ? nullptr : &*found;
}

const Architecture& Families::find(const nlohmann::json& config, const std::filesystem::path& config_file) const {
  const auto unknown = [&]() -> const Architecture& {
    const auto& family = variant_of(*std::ranges::find(architectures_, unknown_as_, &Architecture::family), config);
    refuse_unknown_kind(config, config_file, *this);
    require_no_refusal(family, config, config_file);
    return family;
  };
  if (!unknown_as_.empty() && !config.contains("model_type")) return unknown();
  std::string name = named_type(config, config_file, supported_types(*this));
  // What qcqa wrote names its class in the folder, so that transformers does not choose.
  const bool converted = name.starts_with(kConvertedPrefix);
  if (converted) name.erase(0, std::string_view(kConvertedPrefix).size());
  for (const Architecture& named : architectures_) {
    if (std::ranges::find(named.model_types, name) == named.model_types.end()) continue;
    const bool changes = named.becomes && !converted && config.contains(named.becomes->key);
    const Architecture& architecture = variant_of(
        changes ? *std::ranges::find(architectures_, named.becomes->family, &Architecture::family) : named, config);
    require_no_refusal(architecture, config, config_file);
    return architecture;
  }
  if (!unknown_as_.empty()) return unknown();
  refuse_unknown_type(config, config_file, *this);
}

}  // namespace qcqa
