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
              !fewer_heads                          ? "Use --layout expanded."
              : architecture.no_remote_code.empty() ? "Use --layout gqa, remote-code or expanded."
                                                    : "Use --layout gqa or expanded.");
}

void note_if(std::vector<std::string>& differences, bool differs, std::string_view what) {
  if (differs) differences.emplace_back(what);
}

LlamaParts::Layer read_layer(const Model& model, const AttentionLayer& attention, const ForwardSpec& spec) {
  const ForwardDescription& names = *spec.names;
  const Checkpoint& checkpoint = model.checkpoint();
  const Architecture& architecture = model.architecture();
  const std::string prefix = architecture.prefix_of(attention.place);
  LlamaParts::Layer layer;
  layer.attention_norm = &checkpoint.at(prefix + architecture.attention.input_norm + ".weight");
  layer.mlp_norm = &checkpoint.at(prefix + names.mlp_norm + ".weight");
  layer.down = &checkpoint.at(prefix + names.mlp.down + ".weight");
  const TensorView& up = checkpoint.at(prefix + names.mlp.up + ".weight");
  if (names.mlp.gate == names.mlp.up) {  // one tensor, gate rows first
    const std::int64_t half = up.shape.front() / 2;
    layer.gate = {&up, 0, half};
    layer.up = {&up, half, half};
  } else {
    layer.gate = {&checkpoint.at(prefix + names.mlp.gate + ".weight"), 0, up.shape.front()};
    layer.up = {&up, 0, up.shape.front()};
  }
  layer.qkv_bias = !attention.query.front().bias.empty();
  layer.output_bias = checkpoint.find(architecture.tensor_name(attention.place, architecture.output, ".bias"));
  layer.gate_bias = checkpoint.find(prefix + names.mlp.gate + ".bias");
  layer.up_bias = checkpoint.find(prefix + names.mlp.up + ".bias");
  layer.down_bias = checkpoint.find(prefix + names.mlp.down + ".bias");
  if (spec.head_norm) {
    const HeadNormDescription& norm = architecture.attention.head_norm;
    layer.query_norm = &checkpoint.at(architecture.tensor_name(attention.place, norm.query, ".weight"));
    layer.key_norm = &checkpoint.at(architecture.tensor_name(attention.place, norm.key, ".weight"));
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

/// What a model's attention computes beyond Llama's.
void note_attention(const Model& model, const ForwardSpec& spec, std::vector<std::string>& differences) {
  const AttentionFacts& first = spec.attention.front();
  const auto rotary = spec.rotary[static_cast<std::size_t>(LayerRotary::main)];
  const int head_dim = model.layers().front().head_dim;
  note_if(differences, std::abs(first.scale * std::sqrt(head_dim) - 1) > 1e-6, "another attention scale");
  note_if(differences, first.softcap > 0 || spec.logit_softcap > 0, "soft caps");
  const bool all_rotated = std::ranges::all_of(
      spec.attention, [](const AttentionFacts& layer) { return layer.rotary == LayerRotary::main; });
  if (!all_rotated) {
    const bool none_rotated = std::ranges::all_of(
        spec.attention, [](const AttentionFacts& layer) { return layer.rotary == LayerRotary::none; });
    note_if(differences, true, none_rotated ? "no rotary embedding" : "another rotary embedding in some layers");
    return;
  }
  note_if(differences, rotary->dim != head_dim, "partly rotated heads");
  note_if(differences, rotary->neighbours, "neighbouring dimensions rotated together");
  note_if(differences, rotary->kind == RotarySpec::Kind::longrope || rotary->magnitude != 1,
          "a rotary scaling with two sets of factors or a magnitude");
}

}  // namespace

void require_none(const Model& model, std::string_view what, const std::vector<std::string>& differences) {
  std::string text;
  for (const std::string& difference : differences) text += (text.empty() ? "" : ", ") + difference;
  if (!text.empty()) refuse(model, what, text);
}

std::vector<std::string> beyond(const LlamaParts& parts, const LlamaFeatures& features) {
  std::vector<std::string> differences;
  note_if(differences, parts.spec.head_norm && !features.head_norms, "norms of query and key heads");
  note_if(differences, !features.rotary_scaling && !parts.rotary_factors.empty(), "a rotary scaling");
  note_if(differences, !features.biases && std::ranges::any_of(parts.layers, has_bias), "biases");
  return differences;
}

LlamaParts read_llama_parts(const Model& model, std::string_view what) {
  const Architecture& architecture = model.architecture();
  if (!architecture.forward) refuse(model, what, architecture.no_forward);
  LlamaParts parts{.spec = read_forward_spec(model)};
  const ForwardSpec& spec = parts.spec;
  const ForwardDescription& names = *spec.names;
  const HeadNormDescription& head_norm = architecture.attention.head_norm;
  std::vector<std::string> differences;
  note_if(differences, architecture.norm.kind != NormKind::rms || architecture.norm.offset != 0, "other norms");
  note_if(differences,
          names.mlp_norm.empty() || architecture.attention.input_norm.empty() || !names.attention_post_norm.empty() ||
              !names.mlp_post_norm.empty(),
          "other places of norms");
  note_if(differences, spec.parallel, "parallel blocks");
  note_if(differences, spec.experts.has_value(), "a mixture of experts");
  note_if(differences, !spec.experts && (names.mlp.gate.empty() || spec.activation != Activation::silu), "another MLP");
  note_if(differences, architecture.transposed, "transposed matrices");
  note_if(differences, !names.positions.tensor.empty(), "learned positions");
  note_if(differences, spec.embedding_multiplier != 1 || spec.residual_multiplier != 1 || spec.logit_divisor != 1,
          "multipliers");
  note_if(differences, architecture.attention.rotary && architecture.attention.rotary->scales_queries,
          "queries scaled by position");
  note_if(differences, spec.mixer.has_value(), "layers without heads");
  note_if(differences, has_gates(architecture), "gates of query heads");
  note_if(differences, spec.clip > 0, "clipped queries, keys and values");
  note_if(differences, !architecture.attention.sinks.empty(), "attention sinks");
  note_if(differences, spec.alibi > 0, "scores that fall with distance");
  note_if(differences, !names.embedding_norm.empty(), "a norm of the embeddings");
  note_attention(model, spec, differences);
  note_if(differences, spec.head_norm && (head_norm.scope != HeadNormScope::head || head_norm.after_rotary),
          "norms of another kind of queries and keys");
  require_none(model, what, differences);

  const RotarySpec& rotary = *spec.rotary[static_cast<std::size_t>(LayerRotary::main)];
  parts.rotary_theta = rotary.theta;
  parts.rotary_factors = rotary_factors(rotary, parts.rotary_theta);
  parts.max_positions = spec.max_positions;
  if (const int window = shortest_window(model); window > 0) parts.max_positions = parts.window = window;
  parts.embedding = &model.checkpoint().at(architecture.embedding + ".weight");
  parts.final_norm = &model.checkpoint().at(names.final_norm + ".weight");
  const OutputHead head = output_head(model);
  note_if(differences, head.bias != nullptr, "a bias of the output matrix");
  note_if(differences, architecture.head.unit_rows, "an output matrix with rows of length 1");
  require_none(model, what, differences);
  parts.head = head.tied ? nullptr : head.weight;
  for (const AttentionLayer& layer : model.layers()) parts.layers.push_back(read_layer(model, layer, spec));
  parts.mlp_width = static_cast<int>(parts.layers.front().up.count);
  return parts;
}

LlamaParts read_llama_parts(const Model& model, std::string_view what, const LlamaFeatures& features) {
  LlamaParts parts = read_llama_parts(model, what);
  require_none(model, what, beyond(parts, features));
  return parts;
}

int shortest_window(const Model& model) {
  const int positions = model.settings().shape().max_positions;
  int shortest = positions;
  for (const int window : layer_windows(model.settings())) {
    if (window > 0) shortest = std::min(shortest, window);
  }
  return shortest < positions ? shortest : 0;
}

}  // namespace qcqa
