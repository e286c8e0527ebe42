#include "model/class_tensors.hpp"

#include <algorithm>
#include <utility>

#include "model/attention_facts.hpp"
#include "model/experts_facts.hpp"
#include "model/mixer_facts.hpp"
#include "qcqa/model/model.hpp"

namespace qcqa {
namespace {

class TensorList {
 public:
  explicit TensorList(const ModelConfig& config)
      : config_(config),
        architecture_(config.architecture()),
        hidden_(config.shape().hidden_size),
        experts_(experts_facts(config)),
        mixer_(mixer_facts(config)) {}

  std::vector<ClassTensor> run() {
    add(architecture_.embedding + ".weight", {config_.shape().vocabulary, hidden_});
    if (architecture_.forward) {
      positions(architecture_.forward->positions);
      if (const std::string& name = architecture_.forward->embedding_norm; !name.empty()) norm(name, hidden_);
    }
    const std::vector<int> with_heads = layers_with_heads(config_);
    for (const int layer : with_heads) {
      attention(layer, config_.shape().of_layer(layer));
      sinks(layer, config_.shape().of_layer(layer));
      head_norms(layer, config_.shape().of_layer(layer));
    }
    for (int layer = 0; layer < config_.shape().layers; ++layer) {
      if (mixer_ && !std::ranges::binary_search(with_heads, layer)) mixer(layer, *architecture_.forward->mixer);
      norms(layer);
      if (architecture_.forward) mlp(layer, *architecture_.forward);
    }
    if (architecture_.forward) norm(architecture_.forward->final_norm, hidden_);
    for (const std::string& name : architecture_.more_tensors) add(name, {});
    const HeadDescription& head = architecture_.head;
    add(head.tensor + ".weight", {config_.shape().vocabulary, hidden_}, ClassTensor::Use::output_head);
    add(head.tensor + ".bias", {config_.shape().vocabulary},
        config_.value(head.bias) ? ClassTensor::Use::output_head : ClassTensor::Use::left_out);
    return std::move(tensors_);
  }

 private:
  void add(std::string name, std::vector<std::int64_t> shape, ClassTensor::Use use = ClassTensor::Use::needed) {
    tensors_.push_back({std::move(name), std::move(shape), use});
  }

  void bias(const std::string& of, std::int64_t size, bool declared) {
    add(of + ".bias", {size}, declared ? ClassTensor::Use::needed : ClassTensor::Use::left_out);
  }

  void linear(const std::string& name, std::int64_t outputs, std::int64_t inputs, bool with_bias,
              ClassTensor::Stack stack = {}) {
    add(name + ".weight", {outputs, inputs});
    tensors_.back().stack = std::move(stack);
    tensors_.back().transposed = architecture_.transposed;
    bias(name, outputs, with_bias);
  }

  void norm(const std::string& name, std::int64_t size) {
    if (!architecture_.norm.weights) return;
    add(name + ".weight", {size});
    bias(name, size, architecture_.norm.bias);
  }

  void positions(const PositionDescription& positions) {
    if (positions.tensor.empty()) return;
    add(positions.tensor + ".weight", {std::int64_t{config_.shape().max_positions} + positions.offset, hidden_});
  }

  void attention(int layer, const ModelShape& shape) {
    for (const Projection& projection : architecture_.projections) {
      const auto heads = head_slots(projection, shape.query_heads, shape.kv_heads).size();
      linear(architecture_.tensor_name(layer, projection.tensor, ""), static_cast<std::int64_t>(heads) * shape.head_dim,
             hidden_, config_.value(projection.bias));
    }
    linear(architecture_.tensor_name(layer, architecture_.output, ""), hidden_,
           std::int64_t{shape.query_heads} * shape.head_dim, config_.value(architecture_.output_bias));
  }

  void sinks(int layer, const ModelShape& shape) {
    const std::string& name = architecture_.attention.sinks;
    if (!name.empty()) add(architecture_.tensor_name(layer, name, ""), {shape.query_heads});
  }

  void norms(int layer) {
    const std::string prefix = architecture_.prefix_of(layer);
    std::vector<std::string> names = {architecture_.attention.input_norm};
    if (const auto& forward = architecture_.forward) {
      const bool one_norm = forward->one_norm_when_parallel && config_.value(forward->parallel);
      names.insert(names.end(), {one_norm ? std::string() : forward->mlp_norm, forward->attention_post_norm,
                                 forward->mlp_post_norm});
    }
    for (const std::string& name : names) {
      if (!name.empty()) norm(prefix + name, hidden_);
    }
  }

  void head_norms(int layer, const ModelShape& shape) {
    if (!has_head_norm(config_)) return;
    const HeadNormDescription& heads = architecture_.attention.head_norm;
    head_norm(architecture_.tensor_name(layer, heads.query, ""), shape.query_heads, shape.head_dim);
    head_norm(architecture_.tensor_name(layer, heads.key, ""), shape.kv_heads, shape.head_dim);
  }

  void head_norm(const std::string& name, std::int64_t heads, std::int64_t head_dim) {
    switch (architecture_.attention.head_norm.scope) {
      case HeadNormScope::head:
        return norm(name, head_dim);
      case HeadNormScope::projection:
        return norm(name, heads * head_dim);
      case HeadNormScope::own:
        add(name + ".weight", {heads, head_dim});
    }
  }

  void mixer(int layer, const MixerDescription& names) {
    const std::string prefix = architecture_.prefix_of(layer);
    const MixerFacts& facts = *mixer_;
    const bool is_delta = names.kind == MixerKind::gated_delta;
    const std::int64_t channels = is_delta ? facts.channels() : hidden_;
    const std::int64_t values = facts.values_width();
    const std::int64_t inputs = !is_delta ? 3 * hidden_ : channels + (names.gate.empty() ? values : 0);
    linear(prefix + names.input, inputs, hidden_, facts.bias);
    add(prefix + names.convolution + ".weight", {channels, 1, facts.taps});
    bias(prefix + names.convolution, channels, facts.bias);
    linear(prefix + names.output, hidden_, is_delta ? values : hidden_, facts.bias);
    if (!is_delta) return;
    if (!names.gate.empty()) linear(prefix + names.gate, values, hidden_, false);
    const bool is_one = names.update == names.decay;
    linear(prefix + names.update, (is_one ? 2 : 1) * facts.value_heads, hidden_, false);
    if (!is_one) linear(prefix + names.decay, facts.value_heads, hidden_, false);
    for (const std::string* name : {&names.decay_log, &names.decay_bias}) add(prefix + *name, {facts.value_heads});
    add(prefix + names.norm + ".weight", {facts.value_dim});
  }

  void mlp(int layer, const ForwardDescription& names) {
    const std::string prefix = architecture_.prefix_of(layer);
    const bool biases = config_.value(names.mlp_bias);
    if (experts_ && experts_->in_layer[static_cast<std::size_t>(layer)]) return experts(prefix, *names.experts, biases);
    matrices(prefix, names.mlp, config_.shape().mlp_width, biases);
    if (names.activation_weights.empty() || config_.value(names.activation) != "xielu") return;
    for (const char* weight : {".alpha_p", ".alpha_n"}) add(prefix + names.activation_weights + weight, {1});
  }

  /// @param stacked  where the matrices of all experts may be stored together
  void matrices(const std::string& prefix, const MlpNames& names, std::int64_t width, bool biases,
                const MlpNames& stacked = {}) {
    const bool fused = names.gate == names.up;
    const auto stack = [&](const std::string& name, std::int64_t outputs, std::int64_t inputs) {
      if (name.empty()) return ClassTensor::Stack{};
      return ClassTensor::Stack{prefix + name, {experts_->count, outputs, inputs}};
    };
    const std::int64_t stacked_rows = stacked.gate == stacked.up ? 2 * width : width;
    if (!names.gate.empty() && !fused)
      linear(prefix + names.gate, width, hidden_, biases, stack(stacked.gate, stacked_rows, hidden_));
    linear(prefix + names.up, fused ? 2 * width : width, hidden_, biases, stack(stacked.up, stacked_rows, hidden_));
    linear(prefix + names.down, hidden_, width, biases, stack(stacked.down, hidden_, width));
  }

  /// One tensor of all experts' matrices. @param outputs, inputs  of each
  void stack(const std::string& prefix, const std::string& name, std::int64_t outputs, std::int64_t inputs,
             const ExpertsDescription& experts) {
    const std::int64_t count = experts_->count;
    if (!experts.are_parameters) return add(prefix + experts.weight_of(name), {count, outputs, inputs});
    add(prefix + experts.weight_of(name), {count, inputs, outputs});
    tensors_.back().may_be_mxfp4 = experts.may_be_mxfp4;
    if (experts.has_biases) add(prefix + ExpertsDescription::bias_of(name), {count, outputs});
  }

  void stacks(const std::string& prefix, const ExpertsDescription& experts) {
    const MlpNames& names = experts.names;
    const std::int64_t width = experts_->width;
    const bool fused = names.gate == names.up;
    if (!names.gate.empty() && !fused) stack(prefix, names.gate, width, hidden_, experts);
    stack(prefix, names.up, fused ? 2 * width : width, hidden_, experts);
    stack(prefix, names.down, hidden_, width, experts);
  }

  void experts(const std::string& prefix, const ExpertsDescription& names, bool shared_bias) {
    linear(prefix + names.router, experts_->count, hidden_, names.router_bias);
    if (!names.choice_bias.empty()) {
      add(prefix + names.choice_bias, names.choice_bias_is_row ? std::vector<std::int64_t>{1, experts_->count}
                                                               : std::vector<std::int64_t>{experts_->count});
    }
    if (names.are_stacked()) {
      stacks(prefix, names);
    } else {
      for (int expert = 0; expert < experts_->count; ++expert) {
        matrices(prefix, names.of_expert(expert), experts_->width, false, names.stacked);
      }
    }
    if (experts_->shared_width > 0) matrices(prefix, names.shared, experts_->shared_width, shared_bias);
    if (!names.shared_switch.empty()) linear(prefix + names.shared_switch, 1, hidden_, false);
  }

  const ModelConfig& config_;
  const Architecture& architecture_;
  std::int64_t hidden_;
  std::optional<ExpertsFacts> experts_;
  std::optional<MixerFacts> mixer_;
  std::vector<ClassTensor> tensors_;
};

}  // namespace

std::vector<ClassTensor> class_tensors(const ModelConfig& config) { return TensorList(config).run(); }

}  // namespace qcqa
