#include "export/modeling_code.hpp"

#include <utility>

#include "qcqa/model/output_head.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

std::string code_for(std::string_view code, const Architecture& architecture) {
  std::string text(code);
  const auto replace = [&](std::string_view from, const std::string& to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
      text.replace(at, from.size(), to);
  };
  // "model.layers.{layer}.self_attn." says where the class has its base model, that its layers, and each of them its
  // attention.
  static constexpr std::string_view kLayer = ".{layer}.";
  const std::string& prefix = architecture.attention_prefix;
  const std::size_t layers = prefix.find('.') + 1;
  const std::size_t layer = prefix.find(kLayer);
  const std::size_t attention = layer + kLayer.size();
  replace("@LAYERS@", prefix.substr(layers, layer - layers));
  replace("@ATTENTION@", prefix.substr(attention, prefix.size() - attention - 1));
  replace("@MODEL_CLASS@", architecture.model_class);
  replace("@MODEL_TYPE@", kConvertedPrefix + architecture.model_types.front());
  return text;
}

}  // namespace

void require_language_model(const Model& model, std::string_view layout, const std::string& instead) {
  if (const Composite* composite = model.settings().composite()) {
    throw Error(ErrorKind::unsupported, std::string(layout), "the modeling file holds a language model by itself",
                "the text model of a " + composite->family, instead);
  }
  require_output_head(model);
}

void add_modeling_file(Blueprint& blueprint, std::string_view code, const Architecture& architecture) {
  blueprint.files.emplace_back(std::string(kModelingModule) + ".py", code_for(code, architecture));
}

}  // namespace qcqa
