#include "forward/forward_spec.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string_view>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

struct NamedActivation {
  std::string_view name;
  Activation activation;
};
/// The names that transformers has for functions without weights of their own.
constexpr std::array<NamedActivation, 22> kActivations = {{
    {"silu", Activation::silu},
    {"swish", Activation::silu},
    {"gelu", Activation::gelu},
    {"gelu_python", Activation::gelu},
    {"gelu_pytorch_tanh", Activation::gelu_tanh},
    {"gelu_python_tanh", Activation::gelu_tanh},
    {"gelu_new", Activation::gelu_tanh},
    {"gelu_fast", Activation::gelu_tanh},
    {"gelu_accurate", Activation::gelu_tanh},
    {"gelu_10", Activation::gelu_clipped},
    {"quick_gelu", Activation::quick_gelu},
    {"relu", Activation::relu},
    {"relu2", Activation::relu_squared},
    {"relu6", Activation::relu6},
    {"leaky_relu", Activation::leaky_relu},
    {"hardswish", Activation::hard_swish},
    {"mish", Activation::mish},
    {"sigmoid", Activation::sigmoid},
    {"tanh", Activation::tanh},
    {"laplace", Activation::laplace},
    {"sqrtsoftplus", Activation::root_softplus},
    {"linear", Activation::identity},
}};

Activation read_activation(const ModelConfig& config, const ForwardDescription& names) {
  std::string name = config.value(names.activation);
  if (const auto alias = names.activation_aliases.find(name); alias != names.activation_aliases.end())
    name = alias->second;
  std::string known;
  for (const NamedActivation& entry : kActivations) {
    if (entry.name == name) return entry.activation;
    known.append(known.empty() ? "" : ", ").append(entry.name);
  }
  throw Error(ErrorKind::unsupported, config.file().string(),
              "\"" + names.activation.key + "\" must be one of " + known, name);
}

/// Whether each layer has a window by config.json's layer_types; nothing where that says nothing.
std::optional<std::vector<bool>> read_layer_types(const ModelConfig& config) {
  static constexpr const char* kKey = "layer_types";
  const auto types = config.json().find(kKey);
  if (types == config.json().end() || types->is_null()) return {};
  if (!types->is_array() || types->size() != static_cast<std::size_t>(config.shape().layers)) {
    throw Error(
        ErrorKind::corrupt, config.file().string(),
        "\"layer_types\" must hold one type for each of the " + std::to_string(config.shape().layers) + " layers",
        types->is_array() ? std::to_string(types->size()) + " types" : types->dump());
  }
  std::vector<bool> windowed;
  for (const auto& type : *types) {
    const bool full = type == "full_attention" || type == "attention";  // the latter by old releases
    if (!full && type != "sliding_attention") {
      throw Error(ErrorKind::unsupported, config.file().string(),
                  "a layer type is \"sliding_attention\" or \"full_attention\"", type.dump());
    }
    windowed.push_back(!full);
  }
  return windowed;
}

bool has_window_by_default(const ModelConfig& config, const WindowDescription& window, int layer) {
  switch (window.layers) {
    case WindowLayers::even:
      return layer % 2 == 0;
    case WindowLayers::from_layer:
      return layer >= config.value(window.first_layer);
    case WindowLayers::all:
      break;
  }
  return true;
}

std::vector<int> read_windows(const ModelConfig& config, const WindowDescription& window) {
  std::vector<int> windows(static_cast<std::size_t>(config.shape().layers), 0);
  const bool enabled = config.value(window.enabled);
  const double size = enabled ? config.value(window.size) : 0;
  const auto types = window.reads_layer_types ? read_layer_types(config) : std::nullopt;
  for (std::size_t layer = 0; layer < windows.size(); ++layer) {
    const bool windowed =
        types ? (*types)[layer] : size >= 1 && has_window_by_default(config, window, static_cast<int>(layer));
    if (!windowed) continue;
    if (!(size >= 1)) {
      throw Error(ErrorKind::corrupt, config.file().string(),
                  "a layer of the type \"sliding_attention\" needs a window, \"" + window.size.key + "\"", "none");
    }
    windows[layer] = static_cast<int>(std::min(size, 1e9));
  }
  return windows;
}

double read_attention_scale(const ModelConfig& config, const ForwardDescription& names) {
  if (const double scale = config.value(names.attention_scale); scale > 0) return scale;
  const double root = config.value(names.attention_scale_root);
  return 1 / std::sqrt(root > 0 ? root : config.shape().head_dim);
}

void require_number(const ModelConfig& config, bool fits, const std::string& key, std::string_view rule, double value) {
  if (fits && std::isfinite(value)) return;
  throw Error(ErrorKind::corrupt, config.file().string(), "\"" + key + "\" must be " + std::string(rule),
              nlohmann::json(value).dump());
}

/// Keys that make a model see later tokens too.
void refuse_bidirectional(const ModelConfig& config) {
  static constexpr std::array<std::pair<const char*, bool>, 2> kKeys = {
      {{"use_bidirectional_attention", true}, {"is_causal", false}}};
  for (const auto& [key, refused] : kKeys) {
    const auto it = config.json().find(key);
    if (it == config.json().end() || *it != refused) continue;
    throw Error(ErrorKind::unsupported, config.file().string(), "evaluation needs a causal model",
                std::string(key) + " is " + it->dump());
  }
}

}  // namespace

ForwardSpec read_forward_spec(const ModelConfig& config) {
  const Architecture& architecture = config.architecture();
  if (!architecture.forward) {
    throw Error(ErrorKind::unsupported, config.file().parent_path().string(),
                architecture.family + " models can be converted but not run", architecture.no_forward);
  }
  refuse_bidirectional(config);
  const ForwardDescription& names = *architecture.forward;
  ForwardSpec spec{.names = &names};
  spec.max_positions = config.shape().max_positions;
  spec.embedding_multiplier = config.value(names.embedding_multiplier);
  if (names.embedding_times_root) spec.embedding_multiplier *= std::sqrt(config.shape().hidden_size);
  spec.norm_epsilon = config.value(names.norm_epsilon);
  spec.parallel = config.value(names.parallel);
  spec.residual_multiplier = config.value(names.residual_multiplier);
  spec.rotary = read_rotary_spec(config);
  spec.attention_scale = read_attention_scale(config, names);
  spec.attention_softcap = config.value(names.attention_softcap);
  spec.windows = read_windows(config, names.window);
  spec.head_norm = !names.head_norm.query.empty() && config.value(names.head_norm.enabled);
  spec.activation = read_activation(config, names);
  spec.logit_divisor = config.value(names.logit_divisor);
  spec.logit_softcap = config.value(names.logit_softcap);
  require_number(config, spec.norm_epsilon >= 0, names.norm_epsilon.key, "a number that is not negative",
                 spec.norm_epsilon);
  require_number(config, spec.logit_divisor > 0, names.logit_divisor.key, "a positive number", spec.logit_divisor);
  return spec;
}

}  // namespace qcqa
