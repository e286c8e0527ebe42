#include "merge/layer_conversion.hpp"

#include <ATen/ATen.h>

namespace qcqa {
namespace {

at::Tensor to_runtime(const at::Tensor& tensor, const Runtime& runtime) {
  return tensor.to(runtime.options()).contiguous();
}

/// (heads, head_dim, inputs) -> (heads * head_dim, inputs)
at::Tensor rows_of(const at::Tensor& heads) { return heads.reshape({-1, heads.size(2)}); }

/// The first member of every group.
at::Tensor first_members(const Grouping& grouping) {
  std::vector<std::int64_t> heads;
  for (const auto& members : grouping.members()) heads.push_back(members.front());
  return at::tensor(at::ArrayRef<std::int64_t>(heads));
}

at::Tensor labels_of(const Grouping& grouping) {
  const std::vector<std::int64_t> labels(grouping.labels().begin(), grouping.labels().end());
  return at::tensor(at::ArrayRef<std::int64_t>(labels));
}

/// Collects the tensors of one layer that the checkpoint has.
class TensorCollector {
 public:
  explicit TensorCollector(const Model& model) : model_(&model) {}

  void add(const std::string& name, const at::Tensor& values) {
    const TensorView* view = model_->checkpoint().find(name);
    if (!view || !values.defined()) return;
    tensors_.push_back(
        tensor_bytes(name, values.detach().to(at::kCPU).to(at::kDouble).view(view->shape), view->written_dtype()));
  }
  void add_linear(const std::string& name, const Linear& linear) {
    add(name + ".weight", linear.weight);
    add(name + ".bias", linear.bias);
  }
  void add_norm(const std::string& name, const NormWeights& norm, double offset) {
    if (!norm.weight.defined()) return;
    add(name + ".weight", norm.weight - offset);
    add(name + ".bias", norm.bias);
  }
  [[nodiscard]] std::vector<TensorBytes> take() { return std::move(tensors_); }

 private:
  const Model* model_;
  std::vector<TensorBytes> tensors_;
};

Linear narrowed(const Linear& linear, std::int64_t first, std::int64_t rows) {
  return {linear.weight.narrow(0, first, rows),
          linear.bias.defined() ? linear.bias.narrow(0, first, rows) : at::Tensor()};
}

}  // namespace

LayerWeights compact_layer(const LayerWeights& original, const AttentionWeights& merged, const Grouping& grouping,
                           const Runtime& runtime) {
  LayerWeights compact = original;
  compact.kv_heads = grouping.groups();
  for (int& head : compact.kv_head_of) head = grouping.labels()[static_cast<std::size_t>(head)];
  const at::Tensor heads = first_members(grouping);
  const at::Tensor rows = at::cat({rows_of(merged.query), rows_of(merged.key.index_select(0, heads)),
                                   rows_of(merged.value.index_select(0, heads))});
  const std::int64_t width = original.query_key_value.inputs();
  compact.query_key_value.weight = to_runtime(rows.narrow(1, 0, width), runtime);
  if (merged.inputs() > width) compact.query_key_value.bias = to_runtime(rows.select(1, width), runtime);
  compact.output.weight = to_runtime(merged.output.transpose(0, 1).reshape({width, -1}), runtime);
  return compact;
}

AttentionWeights expand_layer(const LayerWeights& compact, const AttentionWeights& like, const Grouping& grouping) {
  const std::int64_t d = compact.head_dim;
  const auto wide = [](const at::Tensor& tensor) { return tensor.detach().to(at::kCPU).to(at::kDouble); };
  at::Tensor rows = wide(compact.query_key_value.weight);
  if (like.inputs() > rows.size(1)) rows = at::cat({rows, wide(compact.query_key_value.bias).unsqueeze(1)}, 1);
  const at::Tensor heads = rows.view({-1, d, like.inputs()});
  const at::Tensor labels = labels_of(grouping);
  const std::int64_t queries = compact.query_heads;
  const std::int64_t groups = compact.kv_heads;
  return {.query = heads.narrow(0, 0, queries),
          .key = heads.narrow(0, queries, groups).index_select(0, labels),
          .value = heads.narrow(0, queries + groups, groups).index_select(0, labels),
          .output = wide(compact.output.weight).view({-1, queries, d}).transpose(0, 1).contiguous()};
}

std::vector<TensorBytes> surrounding_tensors(const Model& model, int layer, const ForwardSpec& spec,
                                             const LayerWeights& weights) {
  const ForwardDescription& names = *spec.names;
  const Architecture& architecture = model.architecture();
  const std::string prefix = layer_prefix(spec, layer);
  TensorCollector tensors(model);
  for (const auto& [name, norm] :
       {std::pair(&names.attention_post_norm, &weights.attention_post_norm),
        std::pair(&names.mlp_norm, &weights.mlp_norm), std::pair(&names.mlp_post_norm, &weights.mlp_post_norm)}) {
    tensors.add_norm(prefix + *name, *norm, names.norm_offset);
  }
  tensors.add_norm(architecture.tensor_name(layer, names.head_norm.query, ""), weights.query_norm, names.norm_offset);
  tensors.add_norm(architecture.tensor_name(layer, names.head_norm.key, ""), weights.key_norm, names.norm_offset);
  tensors.add(architecture.tensor_name(layer, architecture.output, ".bias"), weights.output.bias);
  const std::int64_t inner = weights.down.inputs();
  if (weights.gated && names.mlp_gate != names.mlp_up) {
    tensors.add_linear(prefix + names.mlp_gate, narrowed(weights.gate_up, 0, inner));
    tensors.add_linear(prefix + names.mlp_up, narrowed(weights.gate_up, inner, inner));
  } else {
    tensors.add_linear(prefix + names.mlp_up, weights.gate_up);
  }
  tensors.add_linear(prefix + names.mlp_down, weights.down);
  return tensors.take();
}

}  // namespace qcqa
