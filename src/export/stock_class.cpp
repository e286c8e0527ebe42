#include "export/stock_class.hpp"

#include <algorithm>
#include <string_view>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Classes whose configuration in transformers refuses head counts that do not divide the hidden size, although they
/// have a head_dim.
bool needs_divisor(const std::string& family) { return family == "llama" || family == "gemma2"; }

bool has_biases(const Model& model) {
  const Architecture& architecture = model.architecture();
  const auto value = [&](const Setting<bool>& setting) { return model.settings().value(setting); };
  return value(architecture.output_bias) || (architecture.forward && value(architecture.forward->mlp_bias)) ||
         std::ranges::any_of(architecture.projections, [&](const Projection& part) { return value(part.bias); });
}

/// A Qwen2 whose layers all see everything is a Llama with biases in Q, K and V.
bool is_llama_with_biases(const Model& model) {
  const Architecture& architecture = model.architecture();
  return architecture.family == "qwen2" && !model.settings().value(architecture.forward->window.enabled);
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
  // Phi's norms of query and key heads are built for hidden_size / query heads.
  const auto& forward = architecture.forward;
  const bool layer_norms = forward && forward->norm_kind == NormKind::layer && !forward->head_norm.query.empty();
  return !layer_norms || !model.settings().value(forward->head_norm.enabled);
}

StockClass stock_class(const Model& model, int groups, int group_places) {
  const AttentionLayer& layer = model.layers().front();
  const std::string& family = model.architecture().family;
  StockClass stock{.model_type = family, .name = {}, .needs_output_bias = false, .group_places = group_places};
  if (groups * group_places == layer.query_heads) return stock;  // nothing to pad
  if (!reads_head_dim(model)) {
    throw Error(ErrorKind::unsupported, "--layout gqa",
                "padding groups with zero query heads needs a class that reads head_dim", family,
                "Use groups of equal size (--cardinality equal), or --layout expanded.");
  }
  // Llama reads head_dim in every runtime, Qwen2 in new releases only. Llama's attention_bias asks for a bias in O too,
  // which is zero.
  if (is_llama_with_biases(model)) stock = {"llama", "LlamaForCausalLM", true, group_places};
  if (!needs_divisor(stock.model_type) || layer.hidden_size % (groups * group_places) == 0) return stock;
  if (family == "llama" && !has_biases(model)) {
    // Mistral without a sliding window is Llama, and takes any head count.
    return {"mistral", "MistralForCausalLM", false, group_places};
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
  if (stock.name.empty()) return;
  // What the input leaves to its class's defaults is written down, since the other class has defaults of its own.
  const Architecture& own = model.architecture();
  const auto state = [&](const auto& setting) {
    if (!setting.key.empty() && !config.contains(setting.key)) config[setting.key] = setting.fallback;
  };
  for (const Setting<int>* size :
       {&own.layers, &own.hidden_size, &own.query_heads, &own.vocabulary, &own.mlp_width, &own.positions})
    state(*size);
  state(own.head.tied);
  state(own.forward->norm_epsilon);
  state(own.forward->activation);
  if (!config.contains("rope_parameters")) state(own.forward->rotary_theta);
  for (const char* key : {"auto_map", "use_sliding_window", "max_window_layers", "layer_types"}) config.erase(key);
  config["model_type"] = stock.model_type;
  config["architectures"] = {class_like(model, stock.name)};
  if (stock.model_type == "mistral") config["sliding_window"] = nullptr;
  if (stock.model_type != "llama") return;
  config.erase("sliding_window");
  config["attention_bias"] = stock.needs_output_bias;
  config["mlp_bias"] = false;
}

}  // namespace qcqa
