#include "forward/forward_spec.hpp"

#include <array>
#include <cmath>
#include <string_view>

#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

struct NamedActivation {
  std::string_view name;
  Activation activation;
};
/// The names that transformers has.
constexpr std::array<NamedActivation, 23> kActivations = {{
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
    {"xielu", Activation::xielu},
}};

Activation read_activation(const ModelConfig& config, const ForwardDescription& names) {
  std::string name = config.value(names.activation);
  if (const auto alias = names.activation_aliases.find(name); alias != names.activation_aliases.end())
    name = alias->second;
  std::string known;
  for (const NamedActivation& entry : kActivations) {
    if (entry.activation == Activation::xielu && names.activation_weights.empty()) continue;
    if (entry.name == name) return entry.activation;
    known.append(known.empty() ? "" : ", ").append(entry.name);
  }
  throw Error(ErrorKind::unsupported, config.file().string(),
              "\"" + names.activation.key + "\" must be one of " + known, name);
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
  ForwardSpec spec{.architecture = &architecture, .names = &names};
  spec.max_positions = config.shape().max_positions;
  spec.embedding_multiplier = config.value(names.embedding_multiplier);
  if (names.embedding_times_root) spec.embedding_multiplier *= std::sqrt(config.shape().hidden_size);
  spec.norm_epsilon = config.value(architecture.norm.epsilon);
  spec.parallel = config.value(names.parallel);
  spec.residual_multiplier = config.value(names.residual_multiplier);
  if (names.residual_over_root_of_layers) spec.residual_multiplier /= std::sqrt(config.shape().layers);
  spec.attention = attention_facts(config);
  for (const AttentionFacts& layer : spec.attention) {
    auto& rotary = spec.rotary[static_cast<std::size_t>(layer.rotary)];
    if (layer.rotary != LayerRotary::none && !rotary) rotary = read_rotary_spec(config, layer.rotary);
  }
  spec.head_norm = has_head_norm(config);
  spec.clip = config.value(architecture.attention.clip);
  spec.alibi = alibi_exponent(config);
  if (const auto& alibi = architecture.attention.alibi) {
    spec.rounds_alibi = alibi->rounded;
    require_number(config, spec.alibi >= 0, alibi->exponent.key, "a number that is not negative", spec.alibi);
  }
  spec.activation = read_activation(config, names);
  if (const auto& gate = names.bounded_gate) {
    spec.bounded_gate = BoundedGate{config.value(gate->slope), config.value(gate->limit)};
    require_number(config, spec.bounded_gate->limit >= 0, gate->limit.key, "a number that is not negative",
                   spec.bounded_gate->limit);
    require_number(config, true, gate->slope.key, "a number", spec.bounded_gate->slope);
  }
  spec.experts = experts_facts(config);
  spec.mixer = mixer_facts(config);
  const double multiplier = config.value(names.logit_multiplier);
  spec.logit_divisor = config.value(names.logit_divisor) / multiplier;
  if (const double width = config.value(names.logit_base_width); width > 0)
    spec.logit_divisor *= config.shape().hidden_size / width;
  spec.logit_softcap = config.value(names.logit_softcap);
  require_number(config, spec.norm_epsilon >= 0, architecture.norm.epsilon.key, "a number that is not negative",
                 spec.norm_epsilon);
  require_number(config, spec.clip >= 0, architecture.attention.clip.key, "a number that is not negative", spec.clip);
  require_number(config, multiplier > 0, names.logit_multiplier.key, "a positive number", multiplier);
  require_number(config, spec.logit_divisor > 0, names.logit_divisor.key, "a positive number", spec.logit_divisor);
  return spec;
}

}  // namespace qcqa
