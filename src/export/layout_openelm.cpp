#include <cmath>

#include "export/layout.hpp"
#include "export/llama_parts.hpp"

namespace qcqa {
namespace openelm {
namespace {

constexpr LlamaFeatures kFeatures{.biases = false, .head_norms = true, .rotary_scaling = false};

LlamaParts read_parts(const Model& model) { return read_llama_parts(model, "--layout openelm", kFeatures); }

/// mlx-lm has no float64.
Dtype type_of(const TensorView& source, const ExportOptions& options) {
  const Dtype type = options.dtype.value_or(source.written_dtype());
  return type == Dtype::f64 ? Dtype::f32 : type;
}

void add_layer(const LlamaParts::Layer& part, const LayerHeads& heads, const ExportOptions& options,
               std::vector<OutputTensor>& tensors) {
  const std::string prefix = "transformer.layers." + std::to_string(heads.layer->layer) + ".";
  static constexpr HeadRole kRoles[] = {HeadRole::query, HeadRole::key, HeadRole::value};
  const Dtype attention = type_of(*heads.layer->output, options);
  const std::int64_t width = part.up.count;
  const std::int64_t hidden = heads.layer->hidden_size;
  const auto norm = [&](const char* name, const TensorView* source) {
    if (source) tensors.push_back(copy_tensor(prefix + name, *source, type_of(*source, options)));
  };
  norm("attn_norm.weight", part.attention_norm);
  tensors.push_back(gather_heads(prefix + "attn.qkv_proj.weight", heads, kRoles, false, attention));
  norm("attn.q_norm.weight", part.query_norm);
  norm("attn.k_norm.weight", part.key_norm);
  tensors.push_back(gather_columns(prefix + "attn.out_proj.weight", heads, attention));
  norm("ffn_norm.weight", part.mlp_norm);
  tensors.push_back(gather_ranges(prefix + "ffn.proj_1.weight", {part.gate, part.up}, {2 * width, hidden},
                                  type_of(*part.up.source, options)));
  tensors.push_back(copy_tensor(prefix + "ffn.proj_2.weight", *part.down, type_of(*part.down, options)));
}

nlohmann::ordered_json config_of(const Model& model, const LlamaParts& parts, const std::vector<LayerHeads>& heads,
                                 const ExportOptions& options) {
  const AttentionLayer& first = model.layers().front();
  nlohmann::ordered_json config = {{"model_type", "openelm"}, {"architectures", {"OpenELMForCausalLM"}}};
  std::vector<int> query, kv;
  for (const LayerHeads& layer : heads) {
    query.push_back(layer.query_heads());
    kv.push_back(layer.kv_heads());
  }
  config["head_dim"] = first.head_dim;
  config["num_transformer_layers"] = heads.size();
  config["model_dim"] = first.hidden_size;
  config["vocab_size"] = parts.vocabulary();
  // The class takes the multiple of the divisor that is nearest to multiplier x model_dim.
  config["ffn_dim_divisor"] = 1;
  config["ffn_multipliers"] =
      std::vector<double>(heads.size(), static_cast<double>(parts.mlp_width) / first.hidden_size);
  config["ffn_with_glu"] = true;
  config["activation_fn_name"] = "swish";
  config["num_query_heads"] = query;
  config["num_kv_heads"] = kv;
  config["normalize_qk_projections"] = parts.spec.head_norm;
  config["share_input_output_layers"] = parts.head == nullptr;
  config["rms_norm_eps"] = parts.spec.norm_epsilon;
  config["rope_freq_constant"] = parts.rotary_theta;
  config["max_context_length"] = parts.max_positions;
  copy_common_keys(model, options.dtype, config);
  return config;
}

Blueprint build(const Model& model, const Plan& plan, const ExportOptions& options) {
  const LlamaParts parts = read_parts(model);
  Blueprint blueprint;
  blueprint.heads = heads_per_layer(model, plan);
  const auto add = [&](const char* name, const TensorView* source) {
    if (source) blueprint.tensors.push_back(copy_tensor(name, *source, type_of(*source, options)));
  };
  add("transformer.token_embeddings.weight", parts.embedding);
  for (std::size_t i = 0; i < blueprint.heads.size(); ++i) {
    add_layer(parts.layers[i], blueprint.heads[i], options, blueprint.tensors);
  }
  add("transformer.norm.weight", parts.final_norm);
  add("lm_head.weight", parts.head);
  blueprint.config = config_of(model, parts, blueprint.heads, options);
  blueprint.written_as = "OpenELMForCausalLM";
  blueprint.same_up_to = parts.window;
  return blueprint;
}

void require_plan(const Model& model, const Plan&) { (void)read_parts(model); }

}  // namespace
}  // namespace openelm

const LayoutRow& openelm_layout() {
  static const LayoutRow kRow = {
      {Layout::openelm, "openelm",
       "for mlx-lm: OpenELM's class, which has head counts per layer; any plan of a Llama-like model without biases, "
       "unequal groups padded to the largest of their layer"},
      PlanLimits{},
      false,
      LayoutWriter{[](const Model& model) { (void)openelm::read_parts(model); }, openelm::require_plan, openelm::build},
      std::nullopt};
  return kRow;
}

}  // namespace qcqa
