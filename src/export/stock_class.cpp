#include "export/stock_class.hpp"

#include <optional>
#include <string_view>

#include "model/attention_facts.hpp"
#include "model/biases.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Whether no layer has a sliding window, by the family's own settings.
bool sees_everything(const Model& model) {
  const WindowDescription& window = model.architecture().attention.window;
  return !model.settings().value(window.enabled) || model.settings().value(window.size) < 1;
}

/// The other class, if it holds this model's tensors as they are: it may only have more biases in the output
/// projections, which are zero.
std::optional<StockClass> stand_in(const Model& model, const std::string& family, int group_places) {
  if (family.empty() || model.settings().composite() || !sees_everything(model)) return std::nullopt;
  const Architecture& other = architecture_of(family);
  const Biases own = biases_of(model.settings());
  Biases with_output = own;
  with_output.output = true;
  const BiasSettings there = settings_for(other, own);
  if (there.biases != own && there.biases != with_output) return std::nullopt;
  return StockClass{.architecture = &other,
                    .biases = there.keys,
                    .needs_output_bias = there.biases.output && !own.output,
                    .group_places = group_places};
}

/// The least number of places, not below `places`, for which groups * places divides the hidden size; 0: none.
int dividing_places(int hidden_size, int groups, int places) {
  for (int more = places; groups * more <= hidden_size; ++more) {
    if (hidden_size % (groups * more) == 0) return more;
  }
  return 0;
}

}  // namespace

bool reads_head_dim(const Model& model) {
  const Architecture& architecture = model.architecture();
  if (architecture.head_dim.key.empty()) return false;
  return !architecture.attention.head_norm.ignores_head_dim || !has_head_norm(model.settings());
}

StockClass stock_class(const Model& model, int groups, int group_places) {
  const AttentionLayer& layer = model.layers().front();
  const Architecture& architecture = model.architecture();
  StockClass stock{.architecture = &architecture, .biases = {}, .group_places = group_places};
  if (groups * group_places == layer.query_heads) return stock;  // nothing to pad
  if (!reads_head_dim(model)) {
    throw Error(ErrorKind::unsupported, "--layout gqa",
                "padding groups with zero query heads needs a class that reads head_dim", architecture.family,
                "Use groups of equal size (--cardinality equal), or --layout expanded.");
  }
  if (const auto other = stand_in(model, architecture.padding.as, group_places)) stock = *other;
  const bool any_count = !stock.architecture->padding.heads_divide_hidden_size;
  if (any_count || layer.hidden_size % (groups * group_places) == 0) return stock;
  if (const auto other = stand_in(model, architecture.padding.otherwise, group_places)) {
    if (!other->needs_output_bias) return *other;
  }
  stock.group_places = dividing_places(layer.hidden_size, groups, group_places);
  if (stock.group_places == 0 || stock.group_places > 4 * group_places) {
    throw Error(
        ErrorKind::unsupported, "--layout gqa",
        "transformers wants " + std::to_string(groups) + " x (query heads of a group) to divide the hidden size",
        std::to_string(layer.hidden_size), "Use another group count, groups of equal size, or --layout remote-code.");
  }
  return stock;
}

namespace {

/// The class of the input's purpose: "MistralForSequenceClassification" for a Llama classifier.
std::string class_like(const Model& model, const std::string& causal_lm) {
  static constexpr std::string_view kPurpose = "ForCausalLM";
  const std::string& own = model.architecture().model_class;
  const std::string_view stem = std::string_view(own).substr(0, own.size() - kPurpose.size());
  const auto names = model.config().find("architectures");
  if (names == model.config().end() || !names->is_array() || names->empty() || !names->front().is_string())
    return causal_lm;
  const std::string name = names->front().get<std::string>();
  if (!name.starts_with(stem)) return causal_lm;
  return causal_lm.substr(0, causal_lm.size() - kPurpose.size()) + name.substr(stem.size());
}

}  // namespace

void rewrite_config(const StockClass& stock, const Model& model, nlohmann::ordered_json& config) {
  const Architecture& own = model.architecture();
  const Architecture& other = *stock.architecture;
  if (&other == &own) return;
  // What the input leaves to its class's defaults is written down, since the other class has defaults of its own.
  const auto state = [&](const auto& setting) {
    if (!setting.key.empty() && !config.contains(setting.key)) config[setting.key] = setting.fallback;
  };
  for (const Setting<int>* size :
       {&own.layers, &own.hidden_size, &own.query_heads, &own.vocabulary, &own.mlp_width, &own.positions})
    state(*size);
  state(own.head.tied);
  state(own.norm.epsilon);
  state(own.forward->activation);
  if (!config.contains("rope_parameters")) state(own.attention.rotary->theta);
  const WindowDescription& window = own.attention.window;
  for (const std::string& key :
       {std::string("auto_map"), window.enabled.key, window.first_layer.key, std::string("layer_types")})
    config.erase(key);
  config["model_type"] = other.model_types.front();
  config["architectures"] = {class_like(model, other.model_class)};
  if (const std::string& size = other.attention.window.size.key; !size.empty()) {
    config[size] = nullptr;
  } else {
    config.erase(window.size.key);
  }
  for (const auto& [key, value] : stock.biases) config[key] = value;
}

}  // namespace qcqa
