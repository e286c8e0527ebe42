#include "model/attention_weights.hpp"

#include <ATen/ATen.h>

#include <algorithm>

#include "checkpoint/finite.hpp"
#include "qcqa/checkpoint/float_codec.hpp"
#include "qcqa/support/error.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

constexpr auto kDouble = at::kDouble;

std::span<double> values_of(const at::Tensor& tensor) {
  return {tensor.data_ptr<double>(), static_cast<std::size_t>(tensor.numel())};
}

/// (heads, head_dim, inputs); the last column holds the bias when inputs is hidden_size + 1.
at::Tensor read_heads(const std::vector<HeadRows>& heads, const AttentionLayer& layer, std::int64_t inputs) {
  const std::int64_t width = layer.hidden_size;
  at::Tensor out = at::zeros({static_cast<std::int64_t>(heads.size()), layer.head_dim, inputs}, kDouble);
  parallel_for(heads.size(), [&](std::size_t head) {
    at::Tensor weight = at::empty({layer.head_dim, width}, kDouble);
    heads[head].weight.read(values_of(weight));
    const at::Tensor place = out.select(0, static_cast<std::int64_t>(head));
    place.narrow(1, 0, width).copy_(weight);
    if (heads[head].bias.empty()) return;
    at::Tensor bias = at::empty({layer.head_dim}, kDouble);
    heads[head].bias.read(values_of(bias));
    place.select(1, width).copy_(bias);
  });
  return out;
}

/// (heads, head_dim), undefined where heads have none of their own.
at::Tensor read_norms(const std::vector<HeadRows>& heads, std::int64_t head_dim) {
  if (heads.front().norm.empty()) return {};
  at::Tensor out = at::empty({static_cast<std::int64_t>(heads.size()), head_dim}, kDouble);
  for (std::size_t head = 0; head < heads.size(); ++head)
    heads[head].norm.read(values_of(out.select(0, static_cast<std::int64_t>(head))));
  return out;
}

const at::Tensor& heads_of(const AttentionWeights& weights, HeadRole role) {
  switch (role) {
    case HeadRole::query:
      return weights.query;
    case HeadRole::key:
      return weights.key;
    case HeadRole::value:
      return weights.value;
    case HeadRole::gate:
      break;
  }
  return weights.gate;
}

/// The rows of a projection, with the bias column where there is one.
at::Tensor projection_rows(const Projection& projection, const AttentionWeights& weights) {
  std::vector<at::Tensor> rows;
  for (const HeadSlot& slot : head_slots(projection, weights.query_heads(), weights.kv_heads())) {
    rows.push_back(heads_of(weights, slot.role).select(0, slot.head));
  }
  return at::cat(rows);
}

/// What was made of finite weights can still be too large for their type.
[[noreturn]] void refuse_overflow(const TensorBytes& tensor, std::span<const double> values) {
  const std::size_t size = tensor.bytes.size() / values.size();
  std::size_t i = 0;
  while (i + 1 < values.size() && all_finite(std::span(tensor.bytes).subspan(i * size, size), tensor.dtype)) ++i;
  throw Error(ErrorKind::unsupported, tensor.name,
              "merged weights must fit into the checkpoint's type, " + std::string(dtype_name(tensor.dtype)),
              value_in_words(values[i]) + " at " + element_place(tensor.shape, i),
              "Take another --merge, or convert a copy of the checkpoint in bfloat16 or float32.");
}

}  // namespace

AttentionWeights read_attention_weights(const AttentionLayer& layer) {
  const auto has_bias = [](const std::vector<HeadRows>& heads) { return !heads.front().bias.empty(); };
  const bool bias =
      has_bias(layer.query) || has_bias(layer.key) || has_bias(layer.value);  // gates have what queries have
  const std::int64_t inputs = layer.hidden_size + (bias ? 1 : 0);
  at::Tensor output = at::empty({layer.hidden_size, layer.query_heads, layer.head_dim}, kDouble);
  layer.output->all().read(values_of(output));
  return {.query = read_heads(layer.query, layer, inputs),
          .key = read_heads(layer.key, layer, inputs),
          .value = read_heads(layer.value, layer, inputs),
          .output = output.transpose(0, 1).contiguous(),
          .query_norm = read_norms(layer.query, layer.head_dim),
          .key_norm = read_norms(layer.key, layer.head_dim),
          .gate = layer.gate.empty() ? at::Tensor() : read_heads(layer.gate, layer, inputs)};
}

TensorBytes tensor_bytes(std::string name, const at::Tensor& values, Dtype dtype) {
  const at::Tensor packed = values.to(kDouble).contiguous();
  TensorBytes out{std::move(name), dtype, values.sizes().vec(), {}};
  out.bytes.resize(static_cast<std::size_t>(values.numel()) * dtype_bytes(dtype));
  const std::span<const double> numbers = values_of(packed);
  encode(numbers, dtype, out.bytes);
  if (!all_finite(out.bytes, dtype)) refuse_overflow(out, numbers);
  return out;
}

std::vector<TensorBytes> attention_tensors(const Model& model, const AttentionLayer& layer,
                                           const AttentionWeights& weights) {
  const Architecture& architecture = model.architecture();
  std::vector<TensorBytes> tensors;
  for (const Projection& projection : architecture.projections) {
    const at::Tensor rows = projection_rows(projection, weights);
    const std::string weight = architecture.tensor_name(layer.place, projection.tensor, ".weight");
    tensors.push_back(
        tensor_bytes(weight, rows.narrow(1, 0, layer.hidden_size), model.checkpoint().at(weight).written_dtype()));
    const std::string bias = architecture.tensor_name(layer.place, projection.tensor, ".bias");
    if (const TensorView* view = model.checkpoint().find(bias)) {
      tensors.push_back(tensor_bytes(bias, rows.select(1, layer.hidden_size), view->written_dtype()));
    }
  }
  const HeadNormDescription& norm = architecture.attention.head_norm;
  for (const auto& [name, values] : {std::pair(&norm.query, &weights.query_norm), {&norm.key, &weights.key_norm}}) {
    if (!values->defined()) continue;
    const TensorView& view = model.checkpoint().at(architecture.tensor_name(layer.place, *name, ".weight"));
    tensors.push_back(tensor_bytes(view.name, values->view(view.shape), view.written_dtype()));
  }
  const at::Tensor output = weights.output.transpose(0, 1).reshape({layer.hidden_size, -1});
  tensors.push_back(tensor_bytes(layer.output->name, output, layer.output->written_dtype()));
  return tensors;
}

}  // namespace qcqa
