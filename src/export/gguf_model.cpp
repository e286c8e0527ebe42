#include "export/gguf_model.hpp"

#include <algorithm>

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
                         const GgufDescription& architecture, Dtype dtype) {
  const AttentionLayer& layer = model.layers().front();
  const std::string prefix = architecture.architecture + ".";
  const auto count = [](auto value) { return static_cast<std::uint32_t>(value); };
  GgufMetadata keys;
  const auto add = [&](const char* key, GgufValue value) { keys.emplace_back(prefix + key, std::move(value)); };
  keys.emplace_back("general.architecture", architecture.architecture);
  keys.emplace_back("general.name", std::filesystem::weakly_canonical(model.path()).filename().string());
  keys.emplace_back("general.file_type", std::uint32_t{dtype == Dtype::f16 ? 1U : dtype == Dtype::bf16 ? 32U : 0U});
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
      : parts_(parts), architecture_(architecture), dtype_(dtype) {}

  std::vector<OutputTensor> run(const std::vector<LayerHeads>& heads) {
    copy("token_embd.weight", parts_.embedding);
    vector("output_norm.weight", parts_.final_norm);
    copy("output.weight", parts_.head);
    if (!parts_.rotary_factors.empty()) {
      OutputTensor factors;
      factors.spec = {"rope_freqs.weight", Dtype::f32, {static_cast<std::int64_t>(parts_.rotary_factors.size())}};
      factors.kind = OutputTensor::Kind::values;
      factors.values = parts_.rotary_factors;
      tensors_.push_back(std::move(factors));
    }
    for (std::size_t i = 0; i < heads.size(); ++i) layer(parts_.layers[i], heads[i]);
    return std::move(tensors_);
  }

 private:
  /// llama.cpp has no float64.
  [[nodiscard]] Dtype matrix_type(Dtype input) const {
    const Dtype type = dtype_.value_or(input);
    return type == Dtype::f64 ? Dtype::f32 : type;
  }

  void copy(std::string name, const TensorView* source) {
    if (!source) return;
    OutputTensor tensor;
    tensor.spec = {std::move(name), matrix_type(source->written_dtype()), source->shape};
    tensor.source = source;
    tensors_.push_back(std::move(tensor));
  }

  /// llama.cpp adds and multiplies vectors in float32 only.
  void vector(std::string name, const TensorView* source) {
    if (!source) return;
    copy(std::move(name), source);
    tensors_.back().spec.dtype = Dtype::f32;
  }

  void rows(std::string name, const RowRange& range) {
    const Dtype dtype = matrix_type(range.source->written_dtype());
    tensors_.push_back(gather_ranges(std::move(name), {range}, {range.count, range.source->shape.back()}, dtype));
  }

  void layer(const LlamaParts::Layer& part, const LayerHeads& heads) {
    const std::string prefix = "blk." + std::to_string(heads.layer->layer) + ".";
    vector(prefix + "attn_norm.weight", part.attention_norm);
    for (const bool bias : {false, true}) {
      if (!bias || part.qkv_bias) project(prefix, heads, bias);
    }
    vector(prefix + "attn_q_norm.weight", part.query_norm);
    vector(prefix + "attn_k_norm.weight", part.key_norm);
    tensors_.push_back(
        gather_columns(prefix + "attn_output.weight", heads, matrix_type(heads.layer->output->written_dtype())));
    vector(prefix + "attn_output.bias", part.output_bias);
    vector(prefix + "ffn_norm.weight", part.mlp_norm);
    rows(prefix + "ffn_gate.weight", part.gate);
    rows(prefix + "ffn_up.weight", part.up);
    copy(prefix + "ffn_down.weight", part.down);
    vector(prefix + "ffn_gate.bias", part.gate_bias);
    vector(prefix + "ffn_up.bias", part.up_bias);
    vector(prefix + "ffn_down.bias", part.down_bias);
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
                                         bias, bias ? Dtype::f32 : matrix_type(heads.layer->dtype));
      tensor.rotary_neighbours = architecture_.rotary_neighbours && role.role != HeadRole::value;
      tensors_.push_back(std::move(tensor));
    }
  }

  const LlamaParts& parts_;
  const GgufDescription& architecture_;
  std::optional<Dtype> dtype_;
  std::vector<OutputTensor> tensors_;
};

}  // namespace

void require_gguf(const Model& model) { (void)read_parts(model); }

void require_gguf_tokenizer(const Model& model) { (void)gguf_tokenizer(model, read_parts(model).vocabulary()); }

Blueprint build_gguf(const Model& model, std::vector<LayerHeads> heads, const ExportOptions& options) {
  const LlamaParts parts = read_parts(model);
  const GgufDescription& architecture = choose_architecture(model, parts, heads);
  Blueprint blueprint;
  blueprint.tensors = TensorList(parts, architecture, options.dtype).run(heads);
  const Dtype dtype = options.dtype.value_or(model.layers().front().dtype);
  blueprint.gguf = metadata_of(model, parts, heads, architecture, dtype);
  GgufTokenizer tokenizer = gguf_tokenizer(model, parts.vocabulary());
  for (auto& entry : tokenizer.keys) blueprint.gguf.push_back(std::move(entry));
  blueprint.notes = std::move(tokenizer.notes);
  blueprint.heads = std::move(heads);
  blueprint.written_as = "GGUF architecture " + architecture.architecture;
  blueprint.same_up_to = parts.window;
  return blueprint;
}

}  // namespace qcqa
