#include "export/gguf_fused.hpp"

#include <algorithm>
#include <cmath>

#include "export/gguf_tensors.hpp"
#include "forward/forward_spec.hpp"
#include "model/biases.hpp"
#include "qcqa/model/output_head.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

[[noreturn]] void refuse(const Model& model, const std::string& rule, const std::string& found,
                         const std::string& fix) {
  throw Error(ErrorKind::unsupported, "--format gguf", rule, model.architecture().family + ", " + found, fix);
}

/// What the model computes beyond its architecture in llama.cpp, by its config.json. What the family always computes,
/// its description says, and it has this architecture for that.
std::string beyond_architecture(const Model& model, const ForwardSpec& spec) {
  const AttentionFacts& attention = spec.attention.front();
  const double scale = attention.scale * std::sqrt(model.layers().front().head_dim);
  if (spec.activation != Activation::gelu && spec.activation != Activation::gelu_tanh) return "another activation";
  if (std::abs(scale - 1) > 1e-6) return "another attention scale";
  // Architectures of families that may have either compute the rotary embedding.
  if (spec.alibi > 0 && model.architecture().attention.rotary) return "scores that fall with distance";
  const Biases biases = biases_of(model.settings());
  if (!model.architecture().gguf->biases && (biases.projections || biases.output || biases.mlp)) return "biases";
  if (std::ranges::any_of(spec.attention, [](const AttentionFacts& layer) { return layer.window > 0; }))
    return "windows";
  if (spec.logit_divisor != 1 || spec.embedding_multiplier != 1 || spec.residual_multiplier != 1) return "multipliers";
  if (output_head(model).bias) return "a bias of the output matrix";
  const auto& rotary = spec.rotary[static_cast<std::size_t>(LayerRotary::main)];
  if (!rotary) return "";
  const auto is_plain = [&](std::size_t i) {
    const double plain = std::pow(rotary->theta, -2.0 * static_cast<double>(i) / rotary->dim);
    return std::abs(plain / rotary->frequencies[i] - 1) < 1e-5;
  };
  bool plain = rotary->kind == RotarySpec::Kind::plain && rotary->magnitude == 1;
  for (std::size_t i = 0; plain && i < rotary->frequencies.size(); ++i) plain = is_plain(i);
  return plain ? "" : "a rotary scaling";
}

GgufMetadata metadata_of(const Model& model, const ForwardSpec& spec, const std::vector<LayerHeads>& heads,
                         std::optional<Dtype> dtype) {
  const std::string& architecture = model.architecture().gguf->architecture;
  GgufMetadata keys = general_metadata(model, architecture, dtype);
  const auto add = [&](const char* key, GgufValue value) {
    keys.emplace_back(architecture + "." + key, std::move(value));
  };
  const auto count = [](auto value) { return static_cast<std::uint32_t>(value); };
  const ModelShape& shape = model.settings().shape();
  add("block_count", count(shape.layers));
  add("context_length", count(spec.max_positions));
  add("embedding_length", count(shape.hidden_size));
  add("feed_forward_length", count(shape.mlp_width));
  add("vocab_size", count(shape.vocabulary));
  add("attention.head_count", count(shape.query_heads));
  add("attention.head_count_kv", count(heads.front().kv_heads()));
  add("attention.layer_norm_epsilon", static_cast<float>(spec.norm_epsilon));
  if (const auto& rotary = spec.rotary[static_cast<std::size_t>(LayerRotary::main)]) {
    add("rope.dimension_count", count(rotary->dim));
    add("rope.freq_base", static_cast<float>(rotary->theta));
    add("use_parallel_residual", spec.parallel);
  }
  if (spec.alibi > 0) add("attention.max_alibi_bias", static_cast<float>(spec.alibi));
  if (spec.clip > 0) add("attention.clamp_kqv", static_cast<float>(spec.clip));
  return keys;
}

std::vector<OutputTensor> tensors_of(const Model& model, const ForwardSpec& spec, const std::vector<LayerHeads>& heads,
                                     std::optional<Dtype> dtype) {
  const Architecture& architecture = model.architecture();
  const Checkpoint& checkpoint = model.checkpoint();
  const ForwardDescription& names = *spec.names;
  GgufTensors tensors(dtype);
  const auto norm = [&](const std::string& name, const std::string& stored) {
    for (const char* suffix : {".weight", ".bias"}) tensors.vector(name + suffix, checkpoint.find(stored + suffix));
  };
  const auto linear = [&](const std::string& name, const std::string& stored) {
    tensors.matrix(name + ".weight", &checkpoint.at(stored + ".weight"));
    tensors.vector(name + ".bias", checkpoint.find(stored + ".bias"));
  };
  const auto zeros = [&](std::string name, std::int64_t count) {
    if (architecture.gguf->needs_all)
      tensors.add(gather_ranges(std::move(name), {{nullptr, 0, count}}, {count}, Dtype::f32));
  };
  const OutputHead head = output_head(model);
  tensors.matrix("token_embd.weight", &checkpoint.at(architecture.embedding + ".weight"));
  if (const std::string& positions = names.positions.tensor; !positions.empty())
    tensors.vector("position_embd.weight", &checkpoint.at(positions + ".weight"));
  if (!names.embedding_norm.empty()) norm("token_embd_norm", names.embedding_norm);
  norm("output_norm", names.final_norm);
  if (!head.tied || architecture.gguf->needs_all) tensors.matrix("output.weight", head.weight);
  static constexpr HeadRole kRoles[] = {HeadRole::query, HeadRole::key, HeadRole::value};
  for (const LayerHeads& layer : heads) {
    const std::string block = "blk." + std::to_string(layer.layer->place) + ".";
    const std::string prefix = architecture.prefix_of(layer.layer->place);
    norm(block + architecture.gguf->attention_norm, prefix + architecture.attention.input_norm);
    tensors.add(gather_heads(block + "attn_qkv.weight", layer, kRoles, false, tensors.matrix_type(layer.layer->dtype)));
    const std::int64_t rows = std::int64_t{layer.query_heads() + 2 * layer.kv_heads()} * layer.layer->head_dim;
    if (layer.layer->query.front().bias.empty()) {
      zeros(block + "attn_qkv.bias", rows);
    } else {
      tensors.add(gather_heads(block + "attn_qkv.bias", layer, kRoles, true, Dtype::f32));
    }
    tensors.add(
        gather_columns(block + "attn_output.weight", layer, tensors.matrix_type(layer.layer->output->written_dtype())));
    const TensorView* output_bias =
        checkpoint.find(architecture.tensor_name(layer.layer->place, architecture.output, ".bias"));
    tensors.vector(block + "attn_output.bias", output_bias);
    if (!output_bias) zeros(block + "attn_output.bias", layer.layer->hidden_size);
    if (!names.mlp_norm.empty()) norm(block + architecture.gguf->mlp_norm, prefix + names.mlp_norm);
    linear(block + "ffn_up", prefix + names.mlp.up);
    linear(block + "ffn_down", prefix + names.mlp.down);
  }
  return tensors.take();
}

}  // namespace

void require_fused_gguf(const Model& model) {
  const std::string beyond = beyond_architecture(model, read_forward_spec(model));
  if (beyond.empty()) return;
  refuse(model,
         "llama.cpp's architecture " + model.architecture().gguf->architecture + " must compute what the model does",
         beyond, "Use --layout expanded.");
}

void require_fused_heads(const Model& model, const std::vector<LayerHeads>& heads) {
  for (const LayerHeads& layer : heads) {
    if (layer.kv_heads() != heads.front().kv_heads())
      refuse(model, "the runtime's architecture has one number of KV heads for all layers", "another in some layers",
             "Use --groups, or a uniform plan.");
    if (layer.query_heads() != layer.layer->query_heads)  // it computes the size of a head from their number
      refuse(model, "the runtime's architecture has no places for padding", "groups of unequal size",
             "Use --cardinality equal.");
  }
  require_places_of_queries(model, heads, "--format gguf");
}

Blueprint build_fused_gguf(const Model& model, std::vector<LayerHeads> heads, const ExportOptions& options) {
  require_fused_gguf(model);
  require_fused_heads(model, heads);
  const ForwardSpec spec = read_forward_spec(model);
  Blueprint blueprint;
  blueprint.tensors = tensors_of(model, spec, heads, options.dtype);
  blueprint.gguf = metadata_of(model, spec, heads, options.dtype);
  blueprint.heads = std::move(heads);
  if (spec.activation == Activation::gelu)
    blueprint.notes.emplace_back("llama.cpp computes GELU by its tanh approximation in this architecture");
  return blueprint;
}

}  // namespace qcqa
