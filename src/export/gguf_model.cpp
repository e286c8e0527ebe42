#include "export/gguf_model.hpp"

#include <algorithm>

#include "export/gguf_fused.hpp"
#include "export/gguf_tensors.hpp"
#include "export/gguf_tokenizer.hpp"
#include "export/llama_parts.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

constexpr std::string_view kFormat = "--format gguf";

/// Any Llama-like model, with head counts per layer.
const GgufDescription& deci() {
  static const GgufDescription kDeci{.architecture = "deci",
                                     .rotary_neighbours = true,
                                     .biases = true,
                                     .rotary_factors = true,
                                     .padded_heads = true,
                                     .layers_differ = true};
  return kDeci;
}

/// What may hold a model of the family, the best first. Llama's holds all that is like Llama.
std::vector<const GgufDescription*> candidates_for(const Architecture& architecture) {
  std::vector<const GgufDescription*> candidates;
  if (architecture.gguf) candidates.push_back(&*architecture.gguf);
  if (const Architecture& llama = architecture_of("llama"); &architecture != &llama) candidates.push_back(&*llama.gguf);
  candidates.push_back(&deci());
  return candidates;
}

LlamaFeatures features_of(const GgufDescription& gguf) {
  return {.biases = gguf.biases, .head_norms = gguf.head_norms, .rotary_scaling = gguf.rotary_factors};
}

/// @throws Error(unsupported) unless some candidate can hold the model: with what stands in the way of the nearest
LlamaParts read_parts(const Model& model) {
  LlamaParts parts = read_llama_parts(model, kFormat);
  std::vector<std::vector<std::string>> beyond_each;
  for (const GgufDescription* candidate : candidates_for(model.architecture()))
    beyond_each.push_back(beyond(parts, features_of(*candidate)));
  require_none(model, kFormat, *std::ranges::min_element(beyond_each, {}, &std::vector<std::string>::size));
  return parts;
}

bool is_uniform(const std::vector<LayerHeads>& heads) {
  return std::ranges::all_of(heads, [&](const LayerHeads& layer) {
    return layer.kv_heads() == heads.front().kv_heads() && layer.query_heads() == heads.front().query_heads();
  });
}

const GgufDescription& choose_architecture(const Model& model, const LlamaParts& parts,
                                           const std::vector<LayerHeads>& heads) {
  const bool uniform = is_uniform(heads);
  const bool padded = heads.front().query_heads() != heads.front().layer->query_heads;
  std::string computes;  // names of those that compute the same, but cannot hold the head counts
  for (const GgufDescription* candidate : candidates_for(model.architecture())) {
    if (!beyond(parts, features_of(*candidate)).empty()) continue;
    if ((uniform || candidate->layers_differ) && (!padded || candidate->padded_heads)) return *candidate;
    computes += (computes.empty() ? "" : ", ") + candidate->architecture;
  }
  throw Error(
      ErrorKind::unsupported, std::string(kFormat),
      "only plans with one group count for all layers: no architecture of llama.cpp has norms of query and key heads "
      "and a head count per layer",
      computes, "Use a uniform plan (--uniform, or --groups).");
}

/// General keys, sizes and head counts.
GgufMetadata metadata_of(const Model& model, const LlamaParts& parts, const std::vector<LayerHeads>& heads,
                         const GgufDescription& architecture, std::optional<Dtype> dtype) {
  const AttentionLayer& layer = model.layers().front();
  const std::string prefix = architecture.architecture + ".";
  const auto count = [](auto value) { return static_cast<std::uint32_t>(value); };
  GgufMetadata keys = general_metadata(model, architecture.architecture, dtype);
  const auto add = [&](const char* key, GgufValue value) { keys.emplace_back(prefix + key, std::move(value)); };
  add("block_count", count(model.layers().size()));
  add("context_length", count(parts.max_positions));
  add("embedding_length", count(layer.hidden_size));
  add("vocab_size", count(parts.vocabulary()));
  add("attention.key_length", count(layer.head_dim));
  add("attention.value_length", count(layer.head_dim));
  add("attention.layer_norm_rms_epsilon", static_cast<float>(parts.spec.norm_epsilon));
  add("rope.dimension_count", count(layer.head_dim));
  add("rope.freq_base", static_cast<float>(parts.rotary_theta));
  if (architecture.layers_differ) {
    std::vector<std::int32_t> query, kv;
    for (const LayerHeads& layer_heads : heads) {
      query.push_back(layer_heads.query_heads());
      kv.push_back(layer_heads.kv_heads());
    }
    add("feed_forward_length", std::vector<std::int32_t>(heads.size(), parts.mlp_width));
    add("attention.head_count", std::move(query));
    add("attention.head_count_kv", std::move(kv));
  } else {
    add("feed_forward_length", count(parts.mlp_width));
    add("attention.head_count", count(heads.front().query_heads()));
    add("attention.head_count_kv", count(heads.front().kv_heads()));
  }
  return keys;
}

class TensorList {
 public:
  TensorList(const LlamaParts& parts, const GgufDescription& architecture, std::optional<Dtype> dtype)
      : parts_(parts), architecture_(architecture), tensors_(dtype) {}

  std::vector<OutputTensor> run(const std::vector<LayerHeads>& heads) {
    tensors_.matrix("token_embd.weight", parts_.embedding);
    tensors_.vector("output_norm.weight", parts_.final_norm);
    tensors_.matrix("output.weight", parts_.head);
    if (!parts_.rotary_factors.empty()) {
      OutputTensor factors;
      factors.spec = {"rope_freqs.weight", Dtype::f32, {static_cast<std::int64_t>(parts_.rotary_factors.size())}};
      factors.kind = OutputTensor::Kind::values;
      factors.values = parts_.rotary_factors;
      tensors_.add(std::move(factors));
    }
    for (std::size_t i = 0; i < heads.size(); ++i) layer(parts_.layers[i], heads[i]);
    return tensors_.take();
  }

 private:
  void layer(const LlamaParts::Layer& part, const LayerHeads& heads) {
    const std::string prefix = "blk." + std::to_string(heads.layer->layer) + ".";
    tensors_.vector(prefix + "attn_norm.weight", part.attention_norm);
    for (const bool bias : {false, true}) {
      if (!bias || part.qkv_bias) project(prefix, heads, bias);
    }
    tensors_.vector(prefix + "attn_q_norm.weight", part.query_norm);
    tensors_.vector(prefix + "attn_k_norm.weight", part.key_norm);
    tensors_.add(gather_columns(prefix + "attn_output.weight", heads,
                                tensors_.matrix_type(heads.layer->output->written_dtype())));
    tensors_.vector(prefix + "attn_output.bias", part.output_bias);
    tensors_.vector(prefix + "ffn_norm.weight", part.mlp_norm);
    tensors_.rows(prefix + "ffn_gate.weight", part.gate);
    tensors_.rows(prefix + "ffn_up.weight", part.up);
    tensors_.matrix(prefix + "ffn_down.weight", part.down);
    tensors_.vector(prefix + "ffn_gate.bias", part.gate_bias);
    tensors_.vector(prefix + "ffn_up.bias", part.up_bias);
    tensors_.vector(prefix + "ffn_down.bias", part.down_bias);
  }

  void project(const std::string& prefix, const LayerHeads& heads, bool bias) {
    struct Role {
      const char* name;
      HeadRole role;
    };
    static constexpr Role kRoles[] = {
        {"attn_q", HeadRole::query}, {"attn_k", HeadRole::key}, {"attn_v", HeadRole::value}};
    for (const Role& role : kRoles) {
      OutputTensor tensor = gather_heads(prefix + role.name + (bias ? ".bias" : ".weight"), heads, {&role.role, 1},
                                         bias, bias ? Dtype::f32 : tensors_.matrix_type(heads.layer->dtype));
      tensor.rotary_neighbours = architecture_.rotary_neighbours && role.role != HeadRole::value;
      tensors_.add(std::move(tensor));
    }
  }

  const LlamaParts& parts_;
  const GgufDescription& architecture_;
  GgufTensors tensors_;
};

/// Without its tokenizer.
Blueprint build_like_llama(const Model& model, std::vector<LayerHeads> heads, const ExportOptions& options) {
  const LlamaParts parts = read_parts(model);
  const GgufDescription& architecture = choose_architecture(model, parts, heads);
  Blueprint blueprint;
  blueprint.tensors = TensorList(parts, architecture, options.dtype).run(heads);
  blueprint.gguf = metadata_of(model, parts, heads, architecture, options.dtype);
  blueprint.heads = std::move(heads);
  blueprint.same_up_to = parts.window;
  return blueprint;
}

}  // namespace

void require_gguf(const Model& model) {
  has_fused_gguf(model.architecture()) ? require_fused_gguf(model) : require_gguf_like_llama(model);
}

void require_gguf_like_llama(const Model& model) { (void)read_parts(model); }

void require_gguf_heads(const Model& model, const std::vector<LayerHeads>& heads) {
  if (has_fused_gguf(model.architecture())) require_fused_heads(model, heads);
}

void require_gguf_tokenizer(const Model& model) {
  require_gguf(model);
  (void)gguf_tokenizer(model, model.settings().shape().vocabulary);
}

Blueprint build_gguf(const Model& model, std::vector<LayerHeads> heads, const ExportOptions& options) {
  const bool fused = has_fused_gguf(model.architecture());
  Blueprint blueprint =
      fused ? build_fused_gguf(model, std::move(heads), options) : build_like_llama(model, std::move(heads), options);
  GgufTokenizer tokenizer = gguf_tokenizer(model, model.settings().shape().vocabulary);
  for (auto& entry : tokenizer.keys) blueprint.gguf.push_back(std::move(entry));
  for (std::string& note : tokenizer.notes) blueprint.notes.push_back(std::move(note));
  blueprint.written_as = "GGUF architecture " + std::get<std::string>(blueprint.gguf.front().second);
  return blueprint;
}

}  // namespace qcqa
