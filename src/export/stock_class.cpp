#include "export/stock_class.hpp"

#include <algorithm>
#include <array>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Classes whose configuration in transformers refuses head counts that do not divide the hidden size, although they
/// have a head_dim.
bool needs_divisor(const std::string& family) { return family == "llama" || family == "gemma2"; }

bool flag(const Model& model, const char* key) {
  const auto it = model.config().find(key);
  return it != model.config().end() && it->is_boolean() && it->get<bool>();
}

bool has_biases(const Model& model) {
  const auto& layers = model.layers();
  return std::ranges::any_of(layers,
                             [](const AttentionLayer& layer) {
                               return !layer.query.front().bias.empty() || !layer.key.front().bias.empty();
                             }) ||
         flag(model, "attention_bias") || flag(model, "mlp_bias");
}

/// The least number of places, not below `places`, for which groups * places divides the hidden size; 0: none.
int dividing_places(int hidden_size, int groups, int places) {
  for (int more = places; groups * more <= hidden_size; ++more) {
    if (hidden_size % (groups * more) == 0) return more;
  }
  return 0;
}

}  // namespace

StockClass stock_class(const Model& model, int groups, int group_places) {
  const AttentionLayer& layer = model.layers().front();
  const std::string& family = model.architecture().family;
  StockClass stock{.model_type = family, .name = {}, .needs_output_bias = false, .group_places = group_places};
  if (groups * group_places == layer.query_heads) return stock;  // nothing to pad
  if (model.architecture().head_dim_key.empty()) {
    if (family != "qwen2" || flag(model, "use_sliding_window")) {
      throw Error(ErrorKind::unsupported, "--layout gqa",
                  "padding groups with zero query heads needs a class that reads head_dim", family,
                  "Use groups of equal size (--cardinality equal), or --layout remote-code or expanded.");
    }
    // Qwen2 is Llama with biases in Q, K and V; Llama's attention_bias asks for one in O too, which is zero.
    stock = {"llama", "LlamaForCausalLM", true, group_places};
  }
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

void rewrite_config(const StockClass& stock, const Model& model, nlohmann::ordered_json& config) {
  if (stock.name.empty()) return;
  // Where the classes' defaults differ, what the input's class assumes is written down.
  struct Default {
    const char* key;
    nlohmann::ordered_json value;
  };
  const std::array defaults = {
      Default{"max_position_embeddings", model.architecture().family == "qwen2" ? 32768 : 2048},
      Default{"rms_norm_eps", 1e-6}, Default{"hidden_act", "silu"}, Default{"tie_word_embeddings", false}};
  for (const Default& entry : defaults) {
    if (!config.contains(entry.key)) config[entry.key] = entry.value;
  }
  if (!config.contains("rope_parameters") && !config.contains("rope_theta")) config["rope_theta"] = 10000.0;
  for (const char* key : {"auto_map", "use_sliding_window", "max_window_layers", "layer_types"}) config.erase(key);
  config["model_type"] = stock.model_type;
  config["architectures"] = {stock.name};
  if (stock.model_type == "mistral") config["sliding_window"] = nullptr;
  if (stock.model_type != "llama") return;
  config.erase("sliding_window");
  config["attention_bias"] = stock.needs_output_bias;
  config["mlp_bias"] = false;
}

}  // namespace qcqa
