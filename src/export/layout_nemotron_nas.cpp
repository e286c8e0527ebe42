#include <algorithm>
#include <numeric>

#include "export/embedded_code.hpp"
#include "export/layout.hpp"
#include "export/llama_parts.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace nemotron_nas {
namespace {

constexpr LlamaFeatures kFeatures{.biases = true, .head_norms = false, .rotary_scaling = true};
constexpr const char* kModule = "configuration_decilm";
constexpr int kWidthUnit = 256;  // the classes round a width up to a multiple of this that ffn_mult states
constexpr int kMostPadding = 4;  // times the query heads of the input

LlamaParts read_parts(const Model& model) { return read_llama_parts(model, "--layout nemotron-nas", kFeatures); }

/// Query heads of every layer: the least number that all group counts divide and that holds the largest groups; 0 when
/// that is more than kMostPadding times those of the input.
int query_heads_for(const Model& model, const Plan& plan) {
  const int most = kMostPadding * model.layers().front().query_heads;
  std::int64_t unit = 1;
  int needed = 1;
  for (const AttentionLayer& layer : model.layers()) {
    const Grouping& grouping = plan.grouping(layer.layer);
    unit = std::lcm(unit, std::int64_t{grouping.groups()});
    if (unit > most) return 0;
    needed = std::max(needed, grouping.groups() * largest_group(layer, grouping));
  }
  const std::int64_t heads = (needed + unit - 1) / unit * unit;
  return heads > most ? 0 : static_cast<int>(heads);
}

/// The MLP's width in the output. vLLM takes any, mlx-lm what ffn_mult can state; but mlx-lm computes the size of a
/// head from the number of query heads, so it loads nothing where these were padded.
int mlp_width_for(const Model& model, const LlamaParts& parts, int query_heads) {
  const AttentionLayer& first = model.layers().front();
  if (query_heads * first.head_dim != first.hidden_size) return parts.mlp_width;
  return (parts.mlp_width + kWidthUnit - 1) / kWidthUnit * kWidthUnit;
}

void require_plan(const Model& model, const Plan& plan) {
  (void)read_parts(model);
  if (query_heads_for(model, plan) > 0) return;
  std::string counts;
  for (const LayerPlan& layer : plan.layers)
    counts += (counts.empty() ? "" : ", ") + std::to_string(layer.grouping.groups());
  throw Error(ErrorKind::unsupported, "--layout nemotron-nas",
              "one number of query heads must be a multiple of every layer's group count, and at most " +
                  std::to_string(kMostPadding) + " times the model's",
              "group counts " + counts,
              "Use --layout remote-code, which vLLM serves too, or group counts that divide the head count.");
}

class TensorList {
 public:
  TensorList(const LlamaParts& parts, const ExportOptions& options) : parts_(parts), options_(options) {}

  std::vector<OutputTensor> run(const std::vector<LayerHeads>& heads, std::int64_t width) {
    copy("model.embed_tokens.weight", parts_.embedding);
    for (std::size_t i = 0; i < heads.size(); ++i) {
      const std::string prefix = "model.layers." + std::to_string(i) + ".";
      attention(prefix + "self_attn.", parts_.layers[i], heads[i]);
      copy(prefix + "input_layernorm.weight", parts_.layers[i].attention_norm);
      copy(prefix + "post_attention_layernorm.weight", parts_.layers[i].mlp_norm);
      mlp(prefix + "mlp.", parts_.layers[i], heads[i].layer->hidden_size, width);
    }
    copy("model.norm.weight", parts_.final_norm);
    copy("lm_head.weight", parts_.head);
    return std::move(tensors_);
  }

  [[nodiscard]] bool has_attention_bias() const {
    return std::ranges::any_of(parts_.layers, [](const auto& layer) { return layer.qkv_bias || layer.output_bias; });
  }
  [[nodiscard]] bool has_mlp_bias() const {
    return std::ranges::any_of(parts_.layers,
                               [](const auto& layer) { return layer.gate_bias || layer.up_bias || layer.down_bias; });
  }

 private:
  [[nodiscard]] Dtype type_of(Dtype input) const { return options_.dtype.value_or(input); }

  void copy(std::string name, const TensorView* source) {
    if (source) tensors_.push_back(copy_tensor(std::move(name), *source, type_of(source->written_dtype())));
  }

  void attention(const std::string& prefix, const LlamaParts::Layer& part, const LayerHeads& heads) {
    struct Role {
      const char* name;
      HeadRole role;
    };
    static constexpr Role kRoles[] = {
        {"q_proj", HeadRole::query}, {"k_proj", HeadRole::key}, {"v_proj", HeadRole::value}};
    const Dtype dtype = type_of(heads.layer->dtype);
    for (const Role& role : kRoles) {
      tensors_.push_back(gather_heads(prefix + role.name + ".weight", heads, {&role.role, 1}, false, dtype));
      if (part.qkv_bias) {
        tensors_.push_back(gather_heads(prefix + role.name + ".bias", heads, {&role.role, 1}, true, dtype));
      } else if (has_attention_bias()) {
        const int places = role.role == HeadRole::query ? heads.query_heads() : heads.kv_heads();
        vector(prefix + role.name + ".bias", nullptr, std::int64_t{places} * heads.layer->head_dim, 0, dtype);
      }
    }
    tensors_.push_back(gather_columns(prefix + "o_proj.weight", heads, type_of(heads.layer->output->written_dtype())));
    if (has_attention_bias()) vector(prefix + "o_proj.bias", part.output_bias, heads.layer->hidden_size, 0, dtype);
  }

  /// A vector of `count` elements and `zeros` more; without a source, all of them zeros.
  void vector(std::string name, const TensorView* source, std::int64_t count, std::int64_t zeros, Dtype dtype) {
    std::vector<RowRange> ranges = {{source, 0, count}};
    if (zeros > 0) ranges.push_back({nullptr, 0, zeros});
    tensors_.push_back(gather_ranges(std::move(name), std::move(ranges), {count + zeros}, dtype));
  }

  /// The MLP, filled up with zeros to a width that the class can have.
  void mlp(const std::string& prefix, const LlamaParts::Layer& part, std::int64_t hidden, std::int64_t width) {
    const std::int64_t zeros = width - part.up.count;
    const auto rows = [&](const char* name, const RowRange& range, const TensorView* bias) {
      std::vector<RowRange> ranges = {range};
      if (zeros > 0) ranges.push_back({nullptr, 0, zeros});
      const Dtype dtype = type_of(range.source->written_dtype());
      tensors_.push_back(gather_ranges(prefix + name + ".weight", std::move(ranges), {width, hidden}, dtype));
      if (has_mlp_bias()) vector(prefix + name + ".bias", bias, part.up.count, zeros, dtype);
    };
    rows("gate_proj", part.gate, part.gate_bias);
    rows("up_proj", part.up, part.up_bias);
    tensors_.push_back(
        pad_columns(prefix + "down_proj.weight", *part.down, width, type_of(part.down->written_dtype())));
    if (has_mlp_bias())
      vector(prefix + "down_proj.bias", part.down_bias, hidden, 0, type_of(part.down->written_dtype()));
  }

  const LlamaParts& parts_;
  const ExportOptions& options_;
  std::vector<OutputTensor> tensors_;
};

/// rope_theta and rope_scaling, which older releases of the runtimes read too.
void add_rotary(const Model& model, const LlamaParts& parts, nlohmann::ordered_json& config) {
  config["rope_theta"] = parts.rotary_theta;
  config["rope_scaling"] = nullptr;
  if (parts.rotary_factors.empty()) return;
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto it = model.config().find(key);
    if (it == model.config().end() || !it->is_object()) continue;
    config["rope_scaling"] = *it;
    config["rope_scaling"].erase("rope_theta");
    if (const auto type = it->find("type"); type != it->end()) config["rope_scaling"]["rope_type"] = *type;
    return;
  }
}

nlohmann::ordered_json config_of(const Model& model, const LlamaParts& parts, const std::vector<LayerHeads>& heads,
                                 int width, const ExportOptions& options) {
  const AttentionLayer& first = model.layers().front();
  const int query_heads = heads.front().query_heads();
  nlohmann::ordered_json config = {{"model_type", "nemotron-nas"},
                                   {"architectures", {"DeciLMForCausalLM"}},
                                   {"auto_map", {{"AutoConfig", std::string(kModule) + ".DeciLMConfig"}}}};
  config["hidden_size"] = first.hidden_size;
  config["num_hidden_layers"] = heads.size();
  config["num_attention_heads"] = query_heads;
  config["num_key_value_heads"] = query_heads;  // the blocks' n_heads_in_group counts
  config["head_dim"] = first.head_dim;
  config["intermediate_size"] = width;
  config["hidden_act"] = "silu";
  config["vocab_size"] = parts.vocabulary();
  config["rms_norm_eps"] = parts.spec.norm_epsilon;
  config["max_position_embeddings"] = parts.max_positions;
  config["tie_word_embeddings"] = parts.head == nullptr;
  add_rotary(model, parts, config);
  copy_common_keys(model, options.dtype, config);
  nlohmann::ordered_json mlp = {{"no_op", false}, {"replace_with_linear", false}};
  if (width % kWidthUnit == 0) {
    // Rounded up by the class; the middle of what gives `width` survives any rounding of the multiplier.
    mlp["ffn_mult"] = 1.5 * (width - 0.5 * kWidthUnit) / first.hidden_size;
  } else {
    mlp["intermediate_size"] = width;
  }
  for (const LayerHeads& layer : heads) {
    config["block_configs"].push_back(
        {{"attention",
          {{"n_heads_in_group", query_heads / layer.kv_heads()}, {"no_op", false}, {"replace_with_linear", false}}},
         {"ffn", mlp}});
  }
  return config;
}

Blueprint build(const Model& model, const Plan& plan, const ExportOptions& options) {
  const LlamaParts parts = read_parts(model);
  const int query_heads = query_heads_for(model, plan);
  Blueprint blueprint;
  for (const AttentionLayer& layer : model.layers()) {
    const Grouping& grouping = plan.grouping(layer.layer);
    blueprint.heads.push_back(grouped_heads(layer, grouping, query_heads / grouping.groups()));
  }
  const int width = mlp_width_for(model, parts, query_heads);
  TensorList list(parts, options);
  blueprint.tensors = list.run(blueprint.heads, width);
  blueprint.config = config_of(model, parts, blueprint.heads, width, options);
  blueprint.config["attention_bias"] = list.has_attention_bias();
  blueprint.config["mlp_bias"] = list.has_mlp_bias();
  blueprint.files.emplace_back(std::string(kModule) + ".py", std::string(embedded_decilm_configuration()));
  blueprint.written_as = "DeciLMForCausalLM";
  blueprint.same_up_to = parts.window;
  return blueprint;
}

}  // namespace
}  // namespace nemotron_nas

const LayoutRow& nemotron_nas_layout() {
  static const LayoutRow kRow = {
      {Layout::nemotron_nas, "nemotron-nas",
       "for vLLM, served with --trust-remote-code, and for mlx-lm with equal groups: head counts per layer of a "
       "Llama-like model; all layers are padded to one number of query heads that every group count divides"},
      PlanLimits{.divisors = true},
      false,
      LayoutWriter{[](const Model& model) { (void)nemotron_nas::read_parts(model); }, nemotron_nas::require_plan,
                   nemotron_nas::build},
      std::nullopt};
  return kRow;
}

}  // namespace qcqa
