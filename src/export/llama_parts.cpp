#include "export/llama_parts.hpp"

#include <algorithm>
#include <cmath>

#include "qcqa/model/output_head.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

[[noreturn]] void refuse(const Model& model, std::string_view what, const std::string& differences) {
  const Architecture& architecture = model.architecture();
  const bool fewer_heads = !architecture.kv_heads.key.empty();
  throw Error(ErrorKind::unsupported, what, "the runtime's class computes what Llama computes",
              architecture.family + " with " + differences,
              !fewer_heads           ? "Use --layout expanded."
              : architecture.forward ? "Use --layout gqa, remote-code or expanded."
                                     : "Use --layout gqa or expanded.");
}

void note_if(std::vector<std::string>& differences, bool differs, std::string_view what) {
  if (differs) differences.emplace_back(what);
}

LlamaParts::Layer read_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec) {
  const ForwardDescription& names = *spec.names;
  const Checkpoint& checkpoint = model.checkpoint();
  const Architecture& architecture = model.architecture();
  const std::string prefix = names.prefix_of(attention.layer);
  LlamaParts::Layer layer;
  layer.attention_norm = &checkpoint.at(prefix + names.attention_norm + ".weight");
  layer.mlp_norm = &checkpoint.at(prefix + names.mlp_norm + ".weight");
  layer.down = &checkpoint.at(prefix + names.mlp_down + ".weight");
  const TensorView& up = checkpoint.at(prefix + names.mlp_up + ".weight");
  if (names.mlp_gate == names.mlp_up) {  // one tensor, gate rows first
    const std::int64_t half = up.shape.front() / 2;
    layer.gate = {&up, 0, half};
    layer.up = {&up, half, half};
  } else {
    layer.gate = {&checkpoint.at(prefix + names.mlp_gate + ".weight"), 0, up.shape.front()};
    layer.up = {&up, 0, up.shape.front()};
  }
  layer.qkv_bias = !attention.query.front().bias.empty();
  layer.output_bias = checkpoint.find(architecture.tensor_name(attention.layer, architecture.output, ".bias"));
  layer.gate_bias = checkpoint.find(prefix + names.mlp_gate + ".bias");
  layer.up_bias = checkpoint.find(prefix + names.mlp_up + ".bias");
  layer.down_bias = checkpoint.find(prefix + names.mlp_down + ".bias");
  if (spec.head_norm) {
    layer.query_norm = &checkpoint.at(architecture.tensor_name(attention.layer, names.head_norm.query, ".weight"));
    layer.key_norm = &checkpoint.at(architecture.tensor_name(attention.layer, names.head_norm.key, ".weight"));
  }
  return layer;
}

bool has_bias(const LlamaParts::Layer& layer) {
  return layer.qkv_bias || layer.output_bias || layer.gate_bias || layer.up_bias || layer.down_bias;
}

std::vector<double> rotary_factors(const RotarySpec& rotary, double theta) {
  std::vector<double> factors;
  for (std::size_t i = 0; i < rotary.frequencies.size(); ++i) {
    const double plain = std::pow(theta, -2.0 * static_cast<double>(i) / rotary.dim);
    factors.push_back(plain / rotary.frequencies[i]);
  }
  const bool plain = std::ranges::all_of(factors, [](double factor) { return std::abs(factor - 1) < 1e-5; });
  return plain ? std::vector<double>() : factors;
}

}  // namespace

void require_none(const Model& model, std::string_view what, const std::vector<std::string>& differences) {
  std::string text;
  for (const std::string& difference : differences) text += (text.empty() ? "" : ", ") + difference;
  if (!text.empty()) refuse(model, what, text);
}

std::vector<std::string> beyond(const LlamaParts& parts, const LlamaAbilities& abilities) {
  std::vector<std::string> differences;
  note_if(differences, parts.spec.head_norm && !abilities.head_norms, "norms of query and key heads");
  note_if(differences, !abilities.rotary_scaling && !parts.rotary_factors.empty(), "a rotary scaling");
  note_if(differences, !abilities.biases && std::ranges::any_of(parts.layers, has_bias), "biases");
  return differences;
}

LlamaParts read_llama_parts(const Model& model, std::string_view what) {
  if (!model.architecture().forward) refuse(model, what, model.architecture().no_forward);
  LlamaParts parts{.spec = read_forward_spec(model)};
  const ForwardSpec& spec = parts.spec;
  const ForwardDescription& names = *spec.names;
  const int head_dim = model.layers().front().head_dim;
  std::vector<std::string> differences;
  note_if(differences, names.norm_kind != NormKind::rms || names.norm_offset != 0, "other norms");
  note_if(differences, names.mlp_norm.empty() || !names.attention_post_norm.empty() || !names.mlp_post_norm.empty(),
          "other places of norms");
  note_if(differences, spec.parallel, "parallel blocks");
  note_if(differences, names.mlp_gate.empty() || spec.activation != Activation::silu, "another MLP");
  note_if(differences, spec.embedding_multiplier != 1 || spec.residual_multiplier != 1 || spec.logit_divisor != 1,
          "multipliers");
  note_if(differences, std::abs(spec.attention_scale * std::sqrt(head_dim) - 1) > 1e-6, "another attention scale");
  note_if(differences, spec.attention_softcap > 0 || spec.logit_softcap > 0, "soft caps");
  note_if(differences, spec.rotary.dim != head_dim, "partly rotated heads");
  note_if(differences, spec.rotary.kind == RotarySpec::Kind::longrope || spec.rotary.magnitude != 1,
          "a rotary scaling with two sets of factors or a magnitude");
  require_none(model, what, differences);

  parts.rotary_theta = spec.rotary.theta;
  parts.rotary_factors = rotary_factors(spec.rotary, parts.rotary_theta);
  parts.max_positions = spec.max_positions;
  for (const int window : spec.windows) {
    if (window > 0 && (parts.max_positions == 0 || window < parts.max_positions))
      parts.max_positions = parts.window = window;
  }
  parts.embedding = &model.checkpoint().at(model.architecture().embedding + ".weight");
  parts.final_norm = &model.checkpoint().at(names.final_norm + ".weight");
  const OutputHead head = output_head(model);
  note_if(differences, head.bias != nullptr, "a bias of the output matrix");
  require_none(model, what, differences);
  parts.head = head.tied ? nullptr : head.weight;
  for (const AttentionLayer& layer : model.layers()) parts.layers.push_back(read_layer(model, layer, spec));
  parts.mlp_width = static_cast<int>(parts.layers.front().up.count);
  return parts;
}

LlamaParts read_llama_parts(const Model& model, std::string_view what, const LlamaAbilities& abilities) {
  LlamaParts parts = read_llama_parts(model, what);
  require_none(model, what, beyond(parts, abilities));
  return parts;
}

}  // namespace qcqa
