#include "export/output_tensors.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "model/class_tensors.hpp"

namespace qcqa {
namespace {

/// The head of the input that stands in a slot of the output.
HeadSlot source_of(const HeadSlot& slot, const LayerHeads& heads) {
  const bool is_of_query = slot.role == HeadRole::query || slot.role == HeadRole::gate;
  return {slot.role, (is_of_query ? heads.query : heads.kv)[static_cast<std::size_t>(slot.head)]};
}

/// Whether gathering these rows would only copy the tensor.
bool is_plain_copy(const std::vector<HeadSlot>& rows, const std::vector<HeadSlot>& source_slots) {
  return std::ranges::equal(rows, source_slots,
                            [](const HeadSlot& a, const HeadSlot& b) { return a.role == b.role && a.head == b.head; });
}

bool keeps_query_order(const LayerHeads& heads) {
  if (heads.query_heads() != heads.layer->query_heads) return false;
  for (int i = 0; i < heads.query_heads(); ++i) {
    if (heads.query[static_cast<std::size_t>(i)] != i) return false;
  }
  return true;
}

void replace_projection(OutputTensor& tensor, const Projection& projection, const LayerHeads& heads, HeadPart part) {
  const AttentionLayer& layer = *heads.layer;
  std::vector<HeadSlot> rows;
  for (const HeadSlot& slot : head_slots(projection, heads.query_heads(), heads.kv_heads())) {
    rows.push_back(source_of(slot, heads));
  }
  if (is_plain_copy(rows, head_slots(projection, layer.query_heads, layer.kv_heads))) return;
  tensor.kind = OutputTensor::Kind::heads;
  tensor.layer = &layer;
  tensor.part = part;
  const bool by_head = part == HeadPart::sink || (part == HeadPart::norm && tensor.spec.shape.size() > 1);
  tensor.spec.shape[0] = static_cast<std::int64_t>(rows.size()) * (by_head ? 1 : layer.head_dim);
  tensor.rows = std::move(rows);
}

/// Names of tensors that files hold with rows and columns exchanged.
std::set<std::string> transposed_names(const ModelConfig& config) {
  std::set<std::string> names;
  if (!config.architecture().transposed) return names;
  for (const ClassTensor& tensor : class_tensors(config)) {
    if (tensor.transposed) names.insert(tensor.name);
  }
  return names;
}

}  // namespace

std::uint64_t OutputTensor::byte_count() const {
  std::uint64_t count = static_cast<std::uint64_t>(dtype_bits(spec.dtype));
  for (const std::int64_t extent : spec.shape) count *= static_cast<std::uint64_t>(extent);
  return count / 8;
}

std::vector<TensorSpec> specs_of(std::span<const OutputTensor> tensors) {
  std::vector<TensorSpec> specs;
  specs.reserve(tensors.size());
  for (const OutputTensor& tensor : tensors) specs.push_back(tensor.spec);
  return specs;
}

std::vector<int> query_head_order(const AttentionLayer& layer, const Grouping& grouping) {
  return grouped_heads(layer, grouping, 0).query;
}

int largest_group(const AttentionLayer& layer, const Grouping& grouping) {
  return std::ranges::max(grouping.sizes()) * (layer.query_heads / layer.kv_heads);
}

LayerHeads grouped_heads(const AttentionLayer& layer, const Grouping& grouping, int group_places) {
  const int per_kv_head = layer.query_heads / layer.kv_heads;
  LayerHeads heads{&layer, {}, {}};
  for (const auto& members : grouping.members()) {
    heads.kv.push_back(members.front());
    int places = 0;
    for (const std::uint8_t kv_head : members) {
      for (int i = 0; i < per_kv_head; ++i, ++places) heads.query.push_back(kv_head * per_kv_head + i);
    }
    for (; places < group_places; ++places) heads.query.push_back(kZeroHead);
  }
  return heads;
}

LayerHeads expanded_heads(const AttentionLayer& layer) {
  LayerHeads heads{&layer, std::vector<int>(static_cast<std::size_t>(layer.query_heads)),
                   std::vector<int>(static_cast<std::size_t>(layer.kv_heads))};
  std::iota(heads.query.begin(), heads.query.end(), 0);
  std::iota(heads.kv.begin(), heads.kv.end(), 0);
  return heads;
}

std::vector<OutputTensor> replace_heads(const Model& model, std::span<const LayerHeads> heads,
                                        std::optional<Dtype> dtype) {
  std::vector<OutputTensor> tensors;
  std::map<std::string_view, std::size_t> by_name;
  for (const TensorView& view : model.checkpoint().tensors()) {
    OutputTensor tensor;
    tensor.spec = {view.name, view.written_dtype(), view.shape};
    if (dtype && is_attention_dtype(view.dtype)) tensor.spec.dtype = *dtype;
    if (view.stored_as) tensor.spec.dtype = *view.stored_as;
    tensor.source = &view;
    by_name.emplace(view.name, tensors.size());
    tensors.push_back(std::move(tensor));
  }
  const Architecture& architecture = model.architecture();
  for (const LayerHeads& layer_heads : heads) {
    const AttentionLayer& layer = *layer_heads.layer;
    const auto replace = [&](const Projection& projection, HeadPart part) {
      const char* suffix = part == HeadPart::sink ? "" : part == HeadPart::bias ? ".bias" : ".weight";
      const auto it = by_name.find(architecture.tensor_name(layer.place, projection.tensor, suffix));
      if (it != by_name.end()) replace_projection(tensors[it->second], projection, layer_heads, part);
    };
    for (const Projection& projection : architecture.projections) {
      for (const HeadPart part : {HeadPart::weight, HeadPart::bias}) replace(projection, part);
    }
    if (!layer.key.front().norm.empty()) {
      const HeadNormDescription& norm = architecture.attention.head_norm;
      replace({.tensor = norm.query, .holds = {HeadRole::query}}, HeadPart::norm);
      replace({.tensor = norm.key, .holds = {HeadRole::key}}, HeadPart::norm);
    }
    if (!layer.query.front().sink.empty())
      replace({.tensor = architecture.attention.sinks, .holds = {HeadRole::query}}, HeadPart::sink);
    if (!keeps_query_order(layer_heads)) {
      OutputTensor& output = tensors[by_name.at(layer.output->name)];
      output = gather_columns(output.spec.name, layer_heads, output.spec.dtype);
    }
  }
  for (const std::string& name : transposed_names(model.settings())) {
    OutputTensor& tensor = tensors[by_name.at(name)];
    tensor.transposed = true;
    std::swap(tensor.spec.shape[0], tensor.spec.shape[1]);
  }
  return tensors;
}

OutputTensor gather_heads(std::string name, const LayerHeads& heads, std::span<const HeadRole> roles, bool bias,
                          Dtype dtype) {
  OutputTensor tensor;
  tensor.kind = OutputTensor::Kind::heads;
  tensor.layer = heads.layer;
  tensor.part = bias ? HeadPart::bias : HeadPart::weight;
  const Projection projection{.tensor = {}, .holds = {roles.begin(), roles.end()}};
  for (const HeadSlot& slot : head_slots(projection, heads.query_heads(), heads.kv_heads())) {
    tensor.rows.push_back(source_of(slot, heads));
  }
  tensor.spec = {std::move(name), dtype, {static_cast<std::int64_t>(tensor.rows.size()) * heads.layer->head_dim}};
  if (!bias) tensor.spec.shape.push_back(heads.layer->hidden_size);
  return tensor;
}

OutputTensor gather_columns(std::string name, const LayerHeads& heads, Dtype dtype) {
  OutputTensor tensor;
  tensor.spec = {
      std::move(name), dtype, {heads.layer->hidden_size, std::int64_t{heads.query_heads()} * heads.layer->head_dim}};
  tensor.kind = OutputTensor::Kind::columns;
  tensor.source = heads.layer->output;
  tensor.layer = heads.layer;
  tensor.column_order = heads.query;
  tensor.column_block = heads.layer->head_dim;
  return tensor;
}

OutputTensor copy_tensor(std::string name, const TensorView& source, Dtype dtype) {
  OutputTensor tensor;
  tensor.spec = {std::move(name), dtype, source.shape};
  tensor.source = &source;
  return tensor;
}

OutputTensor pad_columns(std::string name, const TensorView& source, std::int64_t columns, Dtype dtype) {
  OutputTensor tensor = copy_tensor(std::move(name), source, dtype);
  const std::int64_t own = source.shape.back();
  if (columns == own) return tensor;
  tensor.kind = OutputTensor::Kind::columns;
  tensor.spec.shape.back() = columns;
  const std::int64_t block = std::gcd(own, columns);
  tensor.column_block = static_cast<int>(block);
  tensor.column_order.assign(static_cast<std::size_t>(columns / block), kZeroHead);
  std::iota(tensor.column_order.begin(), tensor.column_order.begin() + own / block, 0);
  return tensor;
}

OutputTensor gather_ranges(std::string name, std::vector<RowRange> ranges, std::vector<std::int64_t> shape,
                           Dtype dtype) {
  OutputTensor tensor;
  tensor.spec = {std::move(name), dtype, std::move(shape)};
  tensor.kind = OutputTensor::Kind::ranges;
  tensor.ranges = std::move(ranges);
  return tensor;
}

}  // namespace qcqa
