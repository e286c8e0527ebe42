#include "forward/forward_spec.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "forward/config_reader.hpp"

namespace qcqa {
namespace {

struct NamedActivation {
  std::string_view name;
  Activation activation;
};
/// The names that config.json uses for them.
constexpr std::array<NamedActivation, 9> kActivations = {{
    {"silu", Activation::silu},
    {"swish", Activation::silu},
    {"gelu", Activation::gelu},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    {"gelu_new", Activation::gelu_tanh},
    {"gelu_fast", Activation::gelu_tanh},
    {"quick_gelu", Activation::quick_gelu},
    {"relu", Activation::relu},
    {"relu2", Activation::relu_squared},
}};

std::string config_file(const Model& model) { return model.config_file().string(); }

Activation read_activation(const Model& model, const ForwardDescription& names) {
  std::string name = config_value(model, names.activation);
  if (const auto alias = names.activation_aliases.find(name); alias != names.activation_aliases.end())
    name = alias->second;
  std::string known;
  for (const NamedActivation& entry : kActivations) {
    if (entry.name == name) return entry.activation;
    known.append(known.empty() ? "" : ", ").append(entry.name);
  }
  throw Error(ErrorKind::unsupported, config_file(model), "\"" + names.activation.key + "\" must be one of " + known,
              name);
}

/// Whether config.json's layer_types says that this layer has a window; `fallback` where it says nothing.
bool layer_has_window(const Model& model, int layer, bool fallback) {
  const auto types = model.config().find("layer_types");
  if (types == model.config().end() || !types->is_array() || types->size() <= static_cast<std::size_t>(layer))
    return fallback;
  const auto& type = (*types)[static_cast<std::size_t>(layer)];
  if (type == "sliding_attention") return true;
  if (type == "full_attention") return false;
  throw Error(ErrorKind::unsupported, config_file(model), "a layer type is \"sliding_attention\" or \"full_attention\"",
              type.dump());
}

std::vector<int> read_windows(const Model& model, const WindowDescription& window) {
  const double size = config_value(model, window.size);
  std::vector<int> windows(model.layers().size(), 0);
  if (!(size >= 1) || !config_value(model, window.enabled)) return windows;
  const double first = config_value(model, window.first_layer);
  for (int layer = 0; layer < static_cast<int>(windows.size()); ++layer) {
    bool applies = true;
    if (window.layers == WindowLayers::even) applies = layer_has_window(model, layer, layer % 2 == 0);
    if (window.layers == WindowLayers::from_layer) applies = layer_has_window(model, layer, layer >= first);
    if (applies) windows[static_cast<std::size_t>(layer)] = static_cast<int>(std::min(size, 1e9));
  }
  return windows;
}

double read_attention_scale(const Model& model, const ForwardDescription& names) {
  if (const double scale = config_value(model, names.attention_scale); scale > 0) return scale;
  const double root = config_value(model, names.attention_scale_root);
  return 1 / std::sqrt(root > 0 ? root : model.layers().front().head_dim);
}

void require_positive(const Model& model, double value, const char* what) {
  if (!(value > 0) || !std::isfinite(value)) {
    throw Error(ErrorKind::corrupt, config_file(model), std::string(what) + " must be a positive number",
                std::to_string(value));
  }
}

/// Biases the model classes would read keys about; here a stored bias is used and a missing one is none.
void refuse_bidirectional(const Model& model) {
  const auto it = model.config().find("use_bidirectional_attention");
  if (it != model.config().end() && *it == true) {
    throw Error(ErrorKind::unsupported, config_file(model), "evaluation needs a causal model",
                "use_bidirectional_attention is true");
  }
}

}  // namespace

ForwardSpec read_forward_spec(const Model& model) {
  const Architecture& architecture = model.architecture();
  if (!architecture.forward) {
    throw Error(ErrorKind::unsupported, model.path().string(),
                architecture.family + " models can be converted but not run", architecture.no_forward);
  }
  refuse_bidirectional(model);
  const ForwardDescription& names = *architecture.forward;
  ForwardSpec spec{.names = &names};
  spec.max_positions =
      static_cast<int>(std::clamp(config_value(model, Setting<double>{"max_position_embeddings", 0}), 0.0, 1e9));
  spec.embedding_multiplier = config_value(model, names.embedding_multiplier);
  if (names.embedding_times_root) spec.embedding_multiplier *= std::sqrt(model.layers().front().hidden_size);
  spec.norm_epsilon = config_value(model, names.norm_epsilon);
  spec.parallel = config_value(model, names.parallel);
  spec.residual_multiplier = config_value(model, names.residual_multiplier);
  spec.rotary = read_rotary_spec(model);
  spec.attention_scale = read_attention_scale(model, names);
  spec.attention_softcap = config_value(model, names.attention_softcap);
  spec.windows = read_windows(model, names.window);
  spec.head_norm = !names.head_norm.query.empty() && config_value(model, names.head_norm.enabled);
  spec.activation = read_activation(model, names);
  spec.tied = config_value(model, names.tied);
  spec.logit_divisor = config_value(model, names.logit_divisor);
  spec.logit_softcap = config_value(model, names.logit_softcap);
  require_positive(model, spec.norm_epsilon, "the norms' epsilon");
  require_positive(model, spec.logit_divisor, "the logits' divisor");
  return spec;
}

}  // namespace qcqa
