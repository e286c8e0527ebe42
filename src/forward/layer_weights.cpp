#include "forward/layer_weights.hpp"

#include <ATen/ATen.h>

#include <cmath>

#include "forward/alibi.hpp"
#include "forward/experts.hpp"
#include "forward/mixer.hpp"
#include "model/expert_stack.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Adds heads whose rows follow one another in memory as few parts.
void add_heads(LinearSource& source, const std::vector<HeadRows>& heads, const AttentionLayer& layer) {
  for (const HeadRows& head : heads) {
    source.parts.push_back({head.weight, head.bias, layer.head_dim});
  }
}

Linear load_query_key_value(const AttentionLayer& attention, const Runtime& runtime) {
  LinearSource source{.parts = {}, .inputs = attention.hidden_size};
  add_heads(source, attention.query, attention);
  add_heads(source, attention.key, attention);
  add_heads(source, attention.value, attention);
  return read_linear(source, runtime);
}

Linear load_gate(const AttentionLayer& attention, const Runtime& runtime) {
  if (attention.gate.empty()) return {};
  LinearSource source{.parts = {}, .inputs = attention.hidden_size};
  add_heads(source, attention.gate, attention);
  return read_linear(source, runtime);
}

at::Tensor load_sinks(const AttentionLayer& attention, const Runtime& runtime) {
  if (attention.query.front().sink.empty()) return {};
  at::Tensor sinks = at::empty({attention.query_heads});
  float* next = sinks.data_ptr<float>();
  for (const HeadRows& head : attention.query) head.sink.read(std::span(next++, 1));
  return sinks.to(runtime.device);
}

/// The names of a layer's matrices beside attention, without ".weight".
std::vector<std::string> matrix_names(int place, const ForwardSpec& spec) {
  std::vector<std::string> names;
  const auto add = [&](const MlpNames& mlp) { names.insert(names.end(), {mlp.gate, mlp.up, mlp.down}); };
  if (!spec.has_experts(place)) {
    add(spec.names->mlp);
    return names;
  }
  const ExpertsDescription& experts = *spec.names->experts;
  for (int expert = 0; expert < (experts.are_stacked() ? 1 : spec.experts->count); ++expert)
    add(experts.of_expert(expert));
  add(experts.stacked);
  add(experts.shared);
  return names;
}

template <typename Visit>
void for_each_named(const Model& model, int place, const std::vector<std::string>& names, const Visit& visit) {
  const std::string prefix = model.architecture().prefix_of(place);
  for (const std::string& name : names) {
    for (const char* suffix : {".weight", "", kMxfp4Blocks, kMxfp4Scales}) {
      if (const TensorView* tensor = model.checkpoint().find(prefix + name + suffix)) visit(tensor->stored);
    }
  }
}

template <typename Visit>
void for_each_tensor(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec, const Visit& visit) {
  for_each_named(model, attention.place, matrix_names(attention.place, spec), visit);
  for (const auto* heads : {&attention.query, &attention.key, &attention.value, &attention.gate}) {
    for (const HeadRows& head : *heads) visit(head.weight.pages());
  }
  visit(attention.output->stored);
}

/// @param size  that it must have
NormWeights load_norm_of(const Model& model, const std::string& name, std::int64_t size, const Runtime& runtime) {
  NormWeights loaded = load_norm(model, name, runtime);
  if (loaded.weight.numel() == size && (!loaded.bias.defined() || loaded.bias.numel() == size)) return loaded;
  throw Error(ErrorKind::corrupt, model.path().string() + ": " + name,
              "a norm must have " + std::to_string(size) + " weights", std::to_string(loaded.weight.numel()));
}

ActivationCurve load_curve(const Model& model, const std::string& name) {
  // transformers does without the two that are not trained.
  const auto number = [&](const char* suffix, std::optional<double> absent = {}) {
    if (absent && !model.checkpoint().find(name + suffix)) return *absent;
    const TensorView& tensor = model.checkpoint().at(name + suffix);
    const at::Tensor values = widened(tensor);
    if (values.numel() == 1) return values.item<double>();
    throw Error(ErrorKind::corrupt, tensor.file.string() + ": " + tensor.name, "must be one number",
                std::to_string(values.numel()));
  };
  const auto softplus = [](double x) { return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x)); };
  const double slope = number(".beta", 0.5);
  return {.square = softplus(number(".alpha_p")),
          .exponential = slope + softplus(number(".alpha_n")),
          .slope = slope,
          .least = number(".eps", -1e-6)};
}

/// The norms around the blocks and the MLP or experts, which all layers have.
void load_surroundings(const Model& model, int place, const ForwardSpec& spec, const Runtime& runtime,
                       LayerWeights& weights) {
  const ForwardDescription& names = *spec.names;
  const Architecture& architecture = model.architecture();
  const std::string prefix = architecture.prefix_of(place);
  const auto norm = [&](const std::string& name) {
    return name.empty() ? NormWeights{}
                        : load_norm_of(model, prefix + name, model.settings().shape().hidden_size, runtime);
  };
  weights.attention_norm = norm(architecture.attention.input_norm);
  weights.attention_post_norm = norm(names.attention_post_norm);
  weights.mlp_post_norm = norm(names.mlp_post_norm);
  if (!(spec.parallel && names.one_norm_when_parallel)) weights.mlp_norm = norm(names.mlp_norm);
  if (spec.has_experts(place)) {
    weights.experts = load_experts(model, prefix, spec, runtime);
  } else {
    weights.mlp = load_mlp(model, prefix, names.mlp, runtime);
    if (spec.activation == Activation::xielu) weights.mlp.curve = load_curve(model, prefix + names.activation_weights);
  }
}

void require_fits(const Linear& linear, std::int64_t inputs, std::int64_t outputs, const std::string& where) {
  if (linear.inputs() == inputs && linear.outputs() == outputs) return;
  throw Error(ErrorKind::corrupt, where, "must be (" + std::to_string(outputs) + ", " + std::to_string(inputs) + ")",
              "(" + std::to_string(linear.outputs()) + ", " + std::to_string(linear.inputs()) + ")");
}

}  // namespace

Linear load_linear(const Model& model, const std::string& name, const Runtime& runtime) {
  LinearSource source;
  source.add(model.checkpoint().at(name + ".weight"), model.checkpoint().find(name + ".bias"));
  return read_linear(source, runtime);
}

MlpWeights read_mlp(const Model& model, const LinearSource& gate_up, const LinearSource& down,
                    const std::string& prefix, const MlpNames& names, const Runtime& runtime) {
  MlpWeights weights = {read_linear(gate_up, runtime), read_linear(down, runtime)};
  const std::int64_t hidden = model.settings().shape().hidden_size, inner = weights.down.inputs();
  const std::string where = model.path().string() + ": " + prefix;
  require_fits(weights.down, inner, hidden, where + names.down);
  require_fits(weights.gate_up, hidden, names.gate.empty() ? inner : 2 * inner, where + names.up);
  return weights;
}

MlpWeights load_mlp(const Model& model, const std::string& prefix, const MlpNames& names, const Runtime& runtime) {
  const auto add = [&](LinearSource& source, const std::string& name) {
    source.add(model.checkpoint().at(prefix + name + ".weight"), model.checkpoint().find(prefix + name + ".bias"));
  };
  LinearSource gate_up, down;
  const bool gated = !names.gate.empty();
  if (gated && names.gate != names.up) add(gate_up, names.gate);
  add(gate_up, names.up);
  add(down, names.down);
  return read_mlp(model, gate_up, down, prefix, names, runtime);
}

NormWeights load_norm(const Model& model, const std::string& name, const Runtime& runtime) {
  NormWeights norm;
  if (!model.architecture().norm.weights) {
    norm.is_fixed = true;
    norm.weight = at::ones({model.settings().shape().hidden_size}, runtime.float_options());
    return norm;
  }
  norm.weight =
      (widened(model.checkpoint().at(name + ".weight")) + model.architecture().norm.offset).to(runtime.device);
  if (const TensorView* bias = model.checkpoint().find(name + ".bias")) norm.bias = widened(*bias).to(runtime.device);
  return norm;
}

LayerWeights load_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec,
                        const Runtime& runtime) {
  const Architecture& architecture = model.architecture();
  LayerWeights weights{
      .query_heads = attention.query_heads, .kv_heads = attention.kv_heads, .head_dim = attention.head_dim};
  for (int head = 0; head < attention.query_heads; ++head) weights.kv_head_of.push_back(attention.kv_head_of(head));
  load_surroundings(model, attention.place, spec, runtime, weights);
  if (spec.head_norm) {
    const HeadNormDescription& heads = architecture.attention.head_norm;
    const auto head_norm = [&](const std::string& name, const std::vector<HeadRows>& rows) {
      const std::int64_t count = heads.scope == HeadNormScope::head ? 1 : static_cast<std::int64_t>(rows.size());
      return load_norm_of(model, architecture.tensor_name(attention.place, name, ""), count * attention.head_dim,
                          runtime);
    };
    weights.query_norm = head_norm(heads.query, attention.query);
    weights.key_norm = head_norm(heads.key, attention.key);
  }

  weights.query_key_value = load_query_key_value(attention, runtime);
  weights.gate = load_gate(attention, runtime);
  weights.sinks = load_sinks(attention, runtime);
  if (spec.alibi > 0) weights.slopes = alibi_slopes(attention.query_heads, spec.alibi).to(runtime.device);
  LinearSource output;
  output.add(*attention.output,
             model.checkpoint().find(architecture.tensor_name(attention.place, architecture.output, ".bias")));
  weights.output = read_linear(output, runtime);
  return weights;
}

LayerWeights load_mixer_layer(const Model& model, int place, const ForwardSpec& spec, const Runtime& runtime) {
  LayerWeights weights;
  load_surroundings(model, place, spec, runtime, weights);
  weights.mixer = load_mixer(model, model.architecture().prefix_of(place), spec, runtime);
  return weights;
}

void prefetch_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec) {
  for_each_tensor(model, attention, spec, [](std::span<const std::byte> bytes) { Checkpoint::will_read(bytes); });
}

void release_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec) {
  for_each_tensor(model, attention, spec, [](std::span<const std::byte> bytes) { Checkpoint::done_with(bytes); });
}

void release_mixer_layer(const Model& model, int place, const ForwardSpec& spec) {
  const MixerDescription& mixer = *spec.names->mixer;
  std::vector<std::string> names = matrix_names(place, spec);
  names.insert(names.end(), {mixer.input, mixer.gate, mixer.update, mixer.decay, mixer.output});
  for_each_named(model, place, names, [](std::span<const std::byte> bytes) { Checkpoint::done_with(bytes); });
}

}  // namespace qcqa
