#include "forward/grouped_layer.hpp"

#include <ATen/ATen.h>

namespace qcqa {
namespace {

at::Tensor to_runtime(const at::Tensor& tensor, const Runtime& runtime) {
  return tensor.to(runtime.options()).contiguous();
}

/// (heads, head_dim, inputs) -> (heads * head_dim, inputs)
at::Tensor stacked_rows(const at::Tensor& heads) { return heads.reshape({-1, heads.size(2)}); }

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

}  // namespace

LayerWeights compact_layer(const LayerWeights& original, const AttentionWeights& merged, const Grouping& grouping,
                           const Runtime& runtime) {
  LayerWeights compact = original;
  compact.kv_heads = grouping.groups();
  for (int& head : compact.kv_head_of) head = grouping.labels()[static_cast<std::size_t>(head)];
  const at::Tensor heads = first_members(grouping);
  const at::Tensor rows = at::cat({stacked_rows(merged.query), stacked_rows(merged.key.index_select(0, heads)),
                                   stacked_rows(merged.value.index_select(0, heads))});
  const std::int64_t width = original.query_key_value.inputs();
  compact.query_key_value.weight = to_runtime(rows.narrow(1, 0, width), runtime);
  if (merged.inputs() > width) compact.query_key_value.bias = to_runtime(rows.select(1, width), runtime);
  if (merged.key_norm.defined()) {
    const at::Tensor norms = merged.key_norm.index_select(0, heads).to(runtime.float_options());
    const bool by_head = original.key_norm.weight.dim() > 1;
    compact.key_norm.weight = by_head ? norms : norms.flatten();
  }
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
  const auto own_norms = [&](const NormWeights& norm) {
    return norm.weight.defined() && like.key_norm.defined() ? wide(norm.weight).view({-1, d}) : at::Tensor();
  };
  const at::Tensor key_norms = own_norms(compact.key_norm);
  return {.query = heads.narrow(0, 0, queries),
          .key = heads.narrow(0, queries, groups).index_select(0, labels),
          .value = heads.narrow(0, queries + groups, groups).index_select(0, labels),
          .output = wide(compact.output.weight).view({-1, queries, d}).transpose(0, 1).contiguous(),
          .query_norm = own_norms(compact.query_norm),
          .key_norm = key_norms.defined() ? key_norms.index_select(0, labels) : key_norms,
          .gate = like.gate};
}

}  // namespace qcqa
