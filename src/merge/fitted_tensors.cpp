#include "merge/fitted_tensors.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <string>
#include <utility>

#include "forward/grouped_layer.hpp"

namespace qcqa {
namespace {

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

/// What a fit changes outside the projections and the output matrix.
/// @param place  the layer's number in the model
std::vector<TensorBytes> surrounding_tensors(const Model& model, int place, const LayerWeights& weights) {
  const Architecture& architecture = model.architecture();
  const ForwardDescription& names = *architecture.forward;
  const HeadNormDescription& head_norm = architecture.attention.head_norm;
  const double offset = architecture.norm.offset;
  const std::string prefix = architecture.prefix_of(place);
  TensorCollector tensors(model);
  for (const auto& [name, norm] :
       {std::pair(&names.attention_post_norm, &weights.attention_post_norm),
        std::pair(&names.mlp_norm, &weights.mlp_norm), std::pair(&names.mlp_post_norm, &weights.mlp_post_norm)}) {
    tensors.add_norm(prefix + *name, *norm, offset);
  }
  if (head_norm.scope == HeadNormScope::head) {  // others are the heads' own
    tensors.add_norm(architecture.tensor_name(place, head_norm.query, ""), weights.query_norm, offset);
    tensors.add_norm(architecture.tensor_name(place, head_norm.key, ""), weights.key_norm, offset);
  }
  tensors.add(architecture.tensor_name(place, architecture.output, ".bias"), weights.output.bias);
  const std::int64_t inner = weights.mlp.down.inputs();
  if (weights.mlp.is_gated() && names.mlp.gate != names.mlp.up) {
    tensors.add_linear(prefix + names.mlp.gate, narrowed(weights.mlp.gate_up, 0, inner));
    tensors.add_linear(prefix + names.mlp.up, narrowed(weights.mlp.gate_up, inner, inner));
  } else {
    tensors.add_linear(prefix + names.mlp.up, weights.mlp.gate_up);
  }
  tensors.add_linear(prefix + names.mlp.down, weights.mlp.down);
  return tensors.take();
}

}  // namespace

bool has_biases(const AttentionLayer& layer) {
  return std::ranges::none_of(std::array{&layer.query, &layer.key, &layer.value},
                              [](const std::vector<HeadRows>* heads) { return heads->front().bias.empty(); });
}

std::vector<TensorBytes> fitted_tensors(const Model& model, int layer, const LayerWeights& compact,
                                        const Grouping& grouping, ReconstructScope scope) {
  const AttentionLayer& attention = model.layers()[static_cast<std::size_t>(layer)];
  std::vector<TensorBytes> tensors =
      attention_tensors(model, attention, expand_layer(compact, read_attention_weights(attention), grouping));
  if (scope == ReconstructScope::block) {
    std::ranges::move(surrounding_tensors(model, attention.place, compact), std::back_inserter(tensors));
  }
  return tensors;
}

}  // namespace qcqa
