#include "model/completeness.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "checkpoint/finite.hpp"
#include "checkpoint/mxfp4_values.hpp"
#include "model/attention_facts.hpp"
#include "model/expert_stack.hpp"
#include "model/experts_facts.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

/// A tensor of a layer: "model.layers.3.mlp.up_proj.weight" is 3 and "mlp.up_proj.weight".
struct LayerTensor {
  int layer = 0;
  std::string_view rest;
};

std::optional<LayerTensor> layer_tensor(std::string_view name, std::string_view stem) {
  if (!name.starts_with(stem)) return {};
  const char* const begin = name.data() + stem.size();
  const char* const end = name.data() + name.size();
  LayerTensor tensor;
  const auto [after, error] = std::from_chars(begin, end, tensor.layer);
  if (error != std::errc() || after == end || *after != '.' || tensor.layer < 0) return {};
  tensor.rest = {after + 1, end};
  return tensor;
}

std::string config_place(const TensorView& tensor) { return tensor.file.string() + ": " + tensor.name; }

/// The class needs more layers than there are.
void require_layers(const Checkpoint& checkpoint, const ModelConfig& config) {
  const Architecture& architecture = config.architecture();
  int layers = 0;
  for (const TensorView& view : checkpoint.tensors()) {
    if (const auto tensor = layer_tensor(view.name, architecture.layer_stem()))
      layers = std::max(layers, tensor->layer + 1);
  }
  if (layers == 0 || layers >= config.shape().layers) return;
  throw Error(ErrorKind::not_found, checkpoint.path().string(),
              "must hold the " + std::to_string(config.shape().layers) + " layers that config.json states",
              std::to_string(layers) + " layers",
              "Download what is missing, or correct \"" + architecture.layers.key + "\" in config.json.");
}

void require_shape(const TensorView& tensor, const std::vector<std::int64_t>& shape, std::string_view by) {
  if (shape.empty() || tensor.shape == shape) return;
  const std::string where = tensor.file.string() + ": " + tensor.name;
  if (!is_attention_dtype(tensor.dtype)) {  // packed bits have a shape of their own
    throw Error(ErrorKind::unsupported, where, "weights must be F16, BF16, F32 or F64",
                std::string(dtype_name(tensor.dtype)), "Dequantise the checkpoint first.");
  }
  throw Error(ErrorKind::corrupt, where, "shape must be " + shape_text(shape) + " by " + std::string(by),
              shape_text(tensor.shape));
}

/// What the layers hold of a family whose layers are not described.
class LayersAsTheyAre {
 public:
  LayersAsTheyAre(const Checkpoint& checkpoint, const ModelConfig& config)
      : stem_(config.architecture().layer_stem()), layers_(static_cast<std::size_t>(config.shape().layers)) {
    for (const int layer : layers_with_heads(config)) layers_[static_cast<std::size_t>(layer)].heads = true;
    for (const TensorView& view : checkpoint.tensors()) {
      const auto tensor = layer_tensor(view.name, stem_);
      if (!tensor || tensor->layer >= config.shape().layers) continue;
      Layer& layer = layers_[static_cast<std::size_t>(tensor->layer)];
      layer.tensors.emplace(tensor->rest, &view);
      layer.experts = layer.experts || tensor->rest.find(".experts.") != std::string_view::npos;
    }
    for (const Layer& layer : layers_)
      kinds_[{layer.heads, layer.experts}].insert(layer.tensors.begin(), layer.tensors.end());
  }

  /// Names that some layers have and others of the same kind lack; shapes must agree.
  [[nodiscard]] std::vector<std::string> holes() const {
    std::vector<std::string> holes;
    for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
      for (const auto& [rest, first] : of_kind_of(layers_[layer])) {
        const auto own = layers_[layer].tensors.find(rest);
        if (own == layers_[layer].tensors.end()) {
          holes.push_back(std::string(stem_).append(std::to_string(layer)).append(".").append(rest));
        } else {
          require_shape(*own->second, first->shape, first->name);
        }
      }
    }
    return holes;
  }

 private:
  using Tensors = std::map<std::string_view, const TensorView*>;
  struct Layer {
    bool heads = false, experts = false;
    Tensors tensors;
  };

  /// With heads or without, and with experts or with a plain MLP: one without experts has something that those with
  /// experts lack.
  [[nodiscard]] const Tensors& of_kind_of(const Layer& layer) const {
    const auto with_experts = kinds_.find({layer.heads, true});
    if (with_experts == kinds_.end()) return kinds_.at({layer.heads, false});
    const auto is_of_experts = [&](const auto& tensor) { return with_experts->second.contains(tensor.first); };
    const bool is_plain = !layer.experts && !std::ranges::all_of(layer.tensors, is_of_experts);
    return is_plain ? kinds_.at({layer.heads, false}) : with_experts->second;
  }

  std::string_view stem_;
  std::vector<Layer> layers_;
  std::map<std::pair<bool, bool>, Tensors> kinds_;  ///< by Layer::heads and experts: what some layer of it has
};

/// Whether both tensors are there that may stand in the place of this one.
bool has_mxfp4(const Checkpoint& checkpoint, const ClassTensor& tensor) {
  const TensorView* blocks = checkpoint.find(tensor.name + kMxfp4Blocks);
  const TensorView* scales = checkpoint.find(tensor.name + kMxfp4Scales);
  if (!blocks || !scales) return false;
  std::vector<std::int64_t> shape = {tensor.shape[0], tensor.shape[2], tensor.shape[1] / Mxfp4Values::kBlock};
  if (tensor.shape[1] % Mxfp4Values::kBlock != 0) {
    throw Error(ErrorKind::corrupt, config_place(*blocks), "MXFP4 needs a multiple of 32 inputs by config.json",
                std::to_string(tensor.shape[1]));
  }
  const auto require = [](const TensorView& view, const std::vector<std::int64_t>& wanted) {
    if (view.shape == wanted && dtype_bytes(view.dtype) == 1) return;
    throw Error(ErrorKind::corrupt, config_place(view), "must be " + shape_text(wanted) + " bytes by config.json",
                shape_text(view.shape) + " of " + std::string(dtype_name(view.dtype)));
  };
  require(*scales, shape);
  shape.push_back(Mxfp4Values::kBlock / 2);
  require(*blocks, shape);
  return true;
}

[[noreturn]] void refuse_missing(const Checkpoint& checkpoint, const ModelConfig& config,
                                 const std::vector<std::string>& missing) {
  throw Error(ErrorKind::not_found, checkpoint.path().string(),
              "must hold every tensor that " + config.architecture().model_class + " needs by config.json",
              std::to_string(missing.size()) + " missing: " + some_of(missing),
              "Download the checkpoint again, or give the config.json that belongs to it.");
}

/// The experts of the first layer that has some, where they are stored in one tensor though they need not be.
const TensorView* first_stack(const Checkpoint& checkpoint, const ModelConfig& config, const ExpertsFacts& experts) {
  const std::string& name = config.architecture().forward->experts->stacked.up;
  if (name.empty()) return nullptr;
  const auto first = std::ranges::find(experts.in_layer, true) - experts.in_layer.begin();
  return checkpoint.find(config.architecture().prefix_of(static_cast<int>(first)) + name);
}

/// Whether the folder holds a model with logits: a base model or a classifier has none, and needs none.
bool is_causal_lm(const ModelConfig& config) {
  const auto names = config.document().find("architectures");
  if (names == config.document().end() || !names->is_array() || names->empty() || !names->front().is_string())
    return true;
  const std::string name = names->front().get<std::string>();
  if (config.composite()) return name == config.composite()->model_class;
  return name == config.architecture().model_class || name.ends_with("ForCausalLM");
}

}  // namespace

void require_plausible_counts(const Checkpoint& checkpoint, const ModelConfig& config) {
  const std::size_t tensors = checkpoint.tensors().size();
  const auto require = [&](std::size_t number, std::string_view of_what, const std::string& found) {
    if (number <= tensors) return;
    throw Error(ErrorKind::corrupt, config.file().string(),
                "must state no more " + std::string(of_what) + " than the checkpoint has tensors",
                found + ", " + std::to_string(tensors) + " tensors", "Give the config.json that belongs to it.");
  };
  const auto layers = static_cast<std::size_t>(config.shape().layers);
  require(layers, "layers", std::to_string(layers) + " layers");
  const std::optional<ExpertsFacts> experts = experts_facts(config);
  if (!experts || config.architecture().forward->experts->are_stacked()) return;
  if (const TensorView* stack = first_stack(checkpoint, config, *experts)) {
    if (!stack->shape.empty() && stack->shape.front() == experts->count) return;
    throw Error(ErrorKind::corrupt, config_place(*stack),
                "must hold the " + std::to_string(experts->count) + " experts that config.json states",
                shape_text(stack->shape));
  }
  const auto with = static_cast<std::size_t>(std::ranges::count(experts->in_layer, true));
  require(with * static_cast<std::size_t>(experts->count), "experts",
          std::to_string(experts->count) + " in each of " + std::to_string(with) + " layers");
}

void require_complete(const Checkpoint& checkpoint, const ModelConfig& config,
                      const std::vector<ClassTensor>& tensors) {
  require_layers(checkpoint, config);
  const HeadDescription& head = config.architecture().head;
  const bool tied = config.value(head.tied);
  const bool with_head = is_causal_lm(config);
  std::vector<std::string> missing;
  for (const ClassTensor& tensor : tensors) {
    if (const TensorView* view = checkpoint.find(tensor.name)) {
      require_shape(*view, tensor.shape, "config.json");
      continue;
    }
    if (tensor.may_be_mxfp4 && has_mxfp4(checkpoint, tensor)) continue;
    if (const TensorView* stack = checkpoint.find(tensor.stack.name)) {
      require_shape(*stack, tensor.stack.shape, "config.json");
      continue;
    }
    const bool is_embedding = tied && tensor.name == head.tensor + ".weight";
    const bool needed = tensor.use == ClassTensor::Use::needed ||
                        (tensor.use == ClassTensor::Use::output_head && with_head && !is_embedding);
    if (needed) missing.push_back(tensor.name);
  }
  if (!config.architecture().forward) {
    for (std::string& hole : LayersAsTheyAre(checkpoint, config).holes()) {
      if (std::ranges::find(missing, hole) == missing.end()) missing.push_back(std::move(hole));
    }
  }
  if (!missing.empty()) refuse_missing(checkpoint, config, missing);
}

std::vector<std::string> tensors_beside(const Checkpoint& checkpoint, const std::vector<std::string>& left_out,
                                        const std::vector<ClassTensor>& tensors) {
  std::set<std::string> known;
  for (const ClassTensor& tensor : tensors) {
    if (tensor.use != ClassTensor::Use::left_out) known.insert(tensor.name);
    if (!tensor.stack.name.empty()) known.insert(tensor.stack.name);
    if (tensor.may_be_mxfp4) known.insert({tensor.name + kMxfp4Blocks, tensor.name + kMxfp4Scales});
  }
  std::vector<std::string> others = left_out;
  for (const TensorView& tensor : checkpoint.tensors()) {
    if (!known.contains(tensor.name) && !is_computed_buffer(tensor.name)) others.push_back(tensor.name);
  }
  return others;
}

void require_nothing_else(const Checkpoint& checkpoint, const std::vector<std::string>& left_out,
                          const ModelConfig& config, const std::vector<ClassTensor>& tensors) {
  const std::vector<std::string> others = tensors_beside(checkpoint, left_out, tensors);
  if (others.empty()) return;
  throw Error(
      ErrorKind::unsupported, checkpoint.path().string(),
      "a model that is taken for a " + config.architecture().family + " must have the tensors of one, no others",
      some_of(others));
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  const std::size_t shown = names.size() <= 3 ? names.size() : 2;
  for (std::size_t i = 0; i < shown; ++i) text.append(i == 0 ? "" : ", ").append(names[i]);
  if (shown < names.size()) text.append(" and " + std::to_string(names.size() - shown) + " more");
  return text;
}

}  // namespace qcqa
