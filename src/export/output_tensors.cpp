#include "export/output_tensors.hpp"

#include <algorithm>
#include <map>
#include <numeric>

namespace qcqa {
namespace {

struct LayerPlan {
  const AttentionLayer* layer;
  std::vector<int> query_order;                        ///< query head at each place
  std::vector<std::vector<std::uint8_t>> kv_members;   ///< heads whose mean stands at each KV place
};

LayerPlan plan_layer(const AttentionLayer& layer, const Grouping& grouping, Layout layout) {
  const auto members = grouping.members();
  if (layout == Layout::gqa) return {&layer, query_head_order(layer, grouping), members};
  LayerPlan plan{&layer, std::vector<int>(static_cast<std::size_t>(layer.query_heads)), {}};
  std::iota(plan.query_order.begin(), plan.query_order.end(), 0);
  for (const std::uint8_t group : grouping.labels()) plan.kv_members.push_back(members[group]);
  return plan;
}

RowSource row_source(const HeadSlot& slot, const LayerPlan& plan) {
  const auto place = static_cast<std::size_t>(slot.head);
  if (slot.role == HeadRole::query) return {slot.role, {}, plan.query_order[place]};
  return {slot.role, plan.kv_members[place], 0};
}

/// Whether gathering these rows would only copy the tensor.
bool is_plain_copy(const std::vector<RowSource>& rows, const std::vector<HeadSlot>& source_slots) {
  if (rows.size() != source_slots.size()) return false;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const bool query = rows[i].role == HeadRole::query;
    if (rows[i].role != source_slots[i].role) return false;
    if (!query && rows[i].kv_members.size() != 1) return false;
    if ((query ? rows[i].query_head : rows[i].kv_members.front()) != source_slots[i].head) return false;
  }
  return true;
}

void plan_projection(OutputTensor& tensor, const Projection& projection, const LayerPlan& plan, bool bias) {
  const AttentionLayer& layer = *plan.layer;
  std::vector<RowSource> rows;
  for (const HeadSlot& slot : head_slots(projection, layer.query_heads, static_cast<int>(plan.kv_members.size()))) {
    rows.push_back(row_source(slot, plan));
  }
  if (is_plain_copy(rows, head_slots(projection, layer.query_heads, layer.kv_heads))) return;
  tensor.kind = OutputTensor::Kind::heads;
  tensor.layer = &layer;
  tensor.bias = bias;
  tensor.spec.shape[0] = static_cast<std::int64_t>(rows.size()) * layer.head_dim;
  tensor.rows = std::move(rows);
}

}  // namespace

std::vector<int> query_head_order(const AttentionLayer& layer, const Grouping& grouping) {
  const int per_kv_head = layer.query_heads / layer.kv_heads;
  std::vector<int> order;
  for (const auto& members : grouping.members()) {
    for (const std::uint8_t kv_head : members) {
      for (int i = 0; i < per_kv_head; ++i) order.push_back(kv_head * per_kv_head + i);
    }
  }
  return order;
}

std::vector<OutputTensor> plan_output_tensors(const Model& model, const Plan& plan, const ExportOptions& options) {
  std::vector<OutputTensor> tensors;
  std::map<std::string_view, std::size_t> by_name;
  for (const TensorView& view : model.checkpoint().tensors()) {
    OutputTensor tensor;
    tensor.spec = {view.name, view.dtype, view.shape};
    if (options.dtype && is_attention_dtype(view.dtype)) tensor.spec.dtype = *options.dtype;
    tensor.source = &view;
    by_name.emplace(view.name, tensors.size());
    tensors.push_back(std::move(tensor));
  }
  const Architecture& architecture = model.architecture();
  for (const AttentionLayer& layer : model.layers()) {
    const LayerPlan layer_plan = plan_layer(layer, plan.layers[static_cast<std::size_t>(layer.layer)], options.layout);
    for (const Projection& projection : architecture.projections) {
      for (const bool bias : {false, true}) {
        const auto it = by_name.find(architecture.tensor_name(layer.layer, projection.tensor, bias ? ".bias" : ".weight"));
        if (it != by_name.end()) plan_projection(tensors[it->second], projection, layer_plan, bias);
      }
    }
    if (!std::ranges::is_sorted(layer_plan.query_order)) {
      OutputTensor& output = tensors[by_name.at(layer.output->name)];
      output.kind = OutputTensor::Kind::columns;
      output.layer = &layer;
      output.column_order = layer_plan.query_order;
    }
  }
  return tensors;
}

}  // namespace qcqa
