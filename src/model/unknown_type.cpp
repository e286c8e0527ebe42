#include "model/unknown_type.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <string>
#include <string_view>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

using nlohmann::json;

/// What a key of config.json gives away of a model, if it says anything: no family's description could say it.
struct UnknownKind {
  std::string_view key, rule, means, fix;
};

constexpr std::array<UnknownKind, 5> kUnknownKinds = {{
    {"is_encoder_decoder", "a model must be a decoder by itself",
     "an encoder-decoder model: its decoder has cross-attention beside self-attention",
     "Only heads of decoder-only models are merged."},
    {"num_kv_shared_layers", "each layer must have keys and values of its own",
     "the number of last layers that read the keys and values of layers before them",
     "Models whose layers share their KV cache already are not handled."},
    {"attention_k_eq_v", "keys and values must be made by weights of their own",
     "by which some layers have one matrix for both", "Heads whose keys are their values are not merged."},
    {"kv_lora_rank", "keys and values must be made head by head from a layer's input",
     "the length of one vector that those of all heads are made from (multi-head latent attention)",
     "There are no KV heads to merge."},
    {"per_layer_config", "all layers must have one configuration", "by which some layers have settings of their own",
     ""},
}};

bool says_nothing(const json& value) {
  return value.is_null() || value == false || value == 0 || (value.is_structured() && value.empty());
}

/// The value as a message can show it.
std::string shown(const json& value) { return value.is_structured() ? "{...}" : value.dump(); }

void refuse_by_keys(const json& part, const std::string& type, const std::filesystem::path& config_file) {
  for (const UnknownKind& kind : kUnknownKinds) {
    const auto value = part.find(kind.key);
    if (value == part.end() || says_nothing(*value)) continue;
    throw Error(ErrorKind::unsupported, config_file.string(), kind.rule,
                type + ", with " + in_quotes(kind.key) + ": " + shown(*value) + ", " + std::string(kind.means),
                kind.fix);
  }
}

std::string composite_types(const Families& families) {
  std::string list;
  for (const Composite& composite : families.composites()) {
    for (const std::string& type : composite.model_types) list += (list.empty() ? "" : ", ") + type;
  }
  return list;
}

void refuse_unknown_composite(const json& text, const std::string& type, const std::filesystem::path& config_file,
                              const Families& families) {
  const auto inner = text.find("model_type");
  if (inner == text.end() || !inner->is_string()) return;
  const auto& name = inner->get_ref<const std::string&>();
  if (!families.knows(name)) return;
  throw Error(ErrorKind::unsupported, config_file.string(),
              "no description of where a model of this model_type keeps its text model",
              type + ", whose text model is a " + in_quotes(name),
              "Save the text model by itself and give that folder. Those of these types are found in their folders: " +
                  composite_types(families) + ".");
}

}  // namespace

std::string supported_types(const Families& families) {
  std::string list;
  for (const Architecture& architecture : families.architectures()) {
    for (const std::string& type : architecture.model_types) list += (list.empty() ? "" : ", ") + type;
  }
  return list + ", " + composite_types(families);
}

void refuse_unknown_kind(const json& config, const std::filesystem::path& config_file, const Families& families) {
  const std::string type = config.value("model_type", json()).dump();
  refuse_by_keys(config, type, config_file);
  const auto text = config.find("text_config");
  if (text == config.end() || !text->is_object()) return;
  refuse_by_keys(*text, type, config_file);
  refuse_unknown_composite(*text, type, config_file, families);
}

void refuse_unknown_type(const json& config, const std::filesystem::path& config_file, const Families& families) {
  refuse_unknown_kind(config, config_file, families);
  throw Error(
      ErrorKind::unsupported, config_file.string(), "no description of this model_type's attention tensors",
      config.at("model_type").dump(),
      "Supported: " + supported_types(families) + ". One with exactly the tensors of another family: see --family.");
}

}  // namespace qcqa
