#include "qcqa/model/model.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/folder_contents.hpp"
#include "checkpoint/gguf.hpp"
#include "model/attention_facts.hpp"
#include "model/class_tensors.hpp"
#include "model/completeness.hpp"
#include "model/expert_stack.hpp"
#include "model/float8_source.hpp"
#include "model/gguf_source.hpp"
#include "model/quantised.hpp"
#include "model/tensor_names.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;

void require_shape(const TensorView& tensor, const std::vector<std::int64_t>& shape) {
  if (tensor.shape != shape) {
    throw Error(ErrorKind::corrupt, tensor.file.string() + ": " + tensor.name,
                "shape must be " + shape_text(shape) + " by config.json", shape_text(tensor.shape));
  }
}

void require_attention_dtype(const TensorView& tensor) {
  if (!is_attention_dtype(tensor.dtype)) {
    throw Error(ErrorKind::unsupported, tensor.file.string() + ": " + tensor.name,
                "attention weights must be F16, BF16, F32 or F64", std::string(dtype_name(tensor.dtype)),
                "Dequantise the checkpoint first.");
  }
}

AttentionLayer bind_layer(const Checkpoint& checkpoint, const Architecture& architecture, const ModelShape& shape,
                          int index, int place) {
  AttentionLayer layer{.layer = index,
                       .place = place,
                       .query_heads = shape.query_heads,
                       .kv_heads = shape.kv_heads,
                       .head_dim = shape.head_dim,
                       .hidden_size = shape.hidden_size};
  layer.query.resize(static_cast<std::size_t>(shape.query_heads));
  layer.key.resize(static_cast<std::size_t>(shape.kv_heads));
  layer.value.resize(static_cast<std::size_t>(shape.kv_heads));
  if (has_gates(architecture)) layer.gate.resize(static_cast<std::size_t>(shape.query_heads));
  for (const Projection& projection : architecture.projections) {
    if (shape.query_heads % projection.parts != 0 || shape.kv_heads % projection.parts != 0) {
      throw Error(
          ErrorKind::corrupt, checkpoint.path().string(),
          "numbers of heads of a " + architecture.family + " must be multiples of " + std::to_string(projection.parts),
          std::to_string(shape.query_heads));
    }
    const auto slots = head_slots(projection, shape.query_heads, shape.kv_heads);
    const std::int64_t rows = static_cast<std::int64_t>(slots.size()) * shape.head_dim;
    const TensorView& weight = checkpoint.at(architecture.tensor_name(place, projection.tensor, ".weight"));
    const TensorView* bias = checkpoint.find(architecture.tensor_name(place, projection.tensor, ".bias"));
    require_attention_dtype(weight);
    require_shape(weight, {rows, shape.hidden_size});
    if (bias) {
      require_attention_dtype(*bias);
      require_shape(*bias, {rows});
    }
    for (std::size_t i = 0; i < slots.size(); ++i) {
      HeadRows& head = layer.heads(slots[i].role)[static_cast<std::size_t>(slots[i].head)];
      const std::int64_t first = static_cast<std::int64_t>(i) * shape.head_dim;
      head.weight = weight.rows(first, shape.head_dim);
      if (bias) head.bias = bias->rows(first, shape.head_dim);
      if (slots[i].role == HeadRole::key) layer.dtype = weight.written_dtype();
    }
  }
  layer.output = &checkpoint.at(architecture.tensor_name(place, architecture.output, ".weight"));
  require_attention_dtype(*layer.output);
  require_shape(*layer.output, {shape.hidden_size, static_cast<std::int64_t>(shape.query_heads) * shape.head_dim});
  return layer;
}

/// The parts of the norms that are each head's own.
void bind_norms(const Checkpoint& checkpoint, const Architecture& architecture, AttentionLayer& layer) {
  const HeadNormDescription& norm = architecture.attention.head_norm;
  if (norm.scope == HeadNormScope::head) return;
  for (const HeadRole role : {HeadRole::query, HeadRole::key}) {
    const std::string& name = role == HeadRole::query ? norm.query : norm.key;
    const TensorView& weights = checkpoint.at(architecture.tensor_name(layer.place, name, ".weight"));
    require_attention_dtype(weights);
    const auto size = static_cast<std::uint64_t>(layer.head_dim);
    std::uint64_t first = 0;
    for (HeadRows& head : layer.heads(role)) {
      head.norm = weights.all().part(first, size);
      first += size;
    }
  }
}

void bind_sinks(const Checkpoint& checkpoint, const Architecture& architecture, AttentionLayer& layer) {
  if (architecture.attention.sinks.empty()) return;
  const TensorView& sinks = checkpoint.at(architecture.tensor_name(layer.place, architecture.attention.sinks, ""));
  require_attention_dtype(sinks);
  require_shape(sinks, {layer.query_heads});
  for (std::size_t head = 0; head < layer.query.size(); ++head) layer.query[head].sink = sinks.all().part(head, 1);
}

std::vector<std::string> attention_weights_of(const ModelConfig& config) {
  const Architecture& architecture = config.architecture();
  std::vector<std::string> names;
  for (const int layer : layers_with_heads(config)) {
    for (const Projection& projection : architecture.projections)
      names.push_back(architecture.tensor_name(layer, projection.tensor, ".weight"));
    names.push_back(architecture.tensor_name(layer, architecture.output, ".weight"));
  }
  return names;
}

/// The lists of modules that are quantised name those of the composite.
void refuse_in_composite(const ModelConfig& config) {
  if (!config.composite()) return;
  throw Error(ErrorKind::unsupported, config.file().parent_path().string(),
              "the weights of a " + config.composite()->family + " must not be quantised", "8-bit floats (FP8)",
              "Give the checkpoint that it was quantised from.");
}

/// The only GGUF file in a folder. @throws Error(invalid_argument) when there are several
std::optional<fs::path> only_gguf_in(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() == ".gguf") found.push_back(entry.path());
  }
  if (found.empty()) return std::nullopt;
  if (found.size() == 1) return found.front();
  std::ranges::sort(found);
  std::string names;
  for (const fs::path& file : found) names += (names.empty() ? "" : ", ") + file.filename().string();
  throw Error(ErrorKind::invalid_argument, folder.string(), "must hold config.json and weights, or one GGUF file",
              names, "Give the path of one of these files.");
}

}  // namespace

Model Model::open(const fs::path& path, const Families& families) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored) && (is_gguf(path) || path.extension() == ".gguf")) return open_gguf(path, {});
  if (!fs::is_directory(path, ignored)) {
    const bool exists = fs::exists(path, ignored);
    throw Error(
        exists ? ErrorKind::invalid_argument : ErrorKind::not_found, path.string(),
        "a model is a folder with config.json and weights, or a GGUF file", exists ? "another file" : "nothing there",
        exists ? "Give the folder that it lies in." : "Give the path of a downloaded Hugging Face model folder.");
  }
  if (!fs::exists(path / "config.json", ignored)) {
    if (const auto file = only_gguf_in(path))
      return open_gguf(*file, {"the folder's model is " + file->filename().string()});
    refuse_folder(path, FolderLacks::config);
  }
  ModelConfig config = ModelConfig::read(path, families);
  const Checkpoint checkpoint = Checkpoint::open(path);
  refuse_quantised(config.document(), checkpoint, config.file(), config.architecture().carried_quantisation);
  return Model(path, std::move(config), checkpoint, nullptr, {});
}

Model Model::open_gguf(const fs::path& file, std::vector<std::string> notes) {
  auto gguf = std::make_shared<const GgufFile>(read_gguf(file));
  GgufSource source = read_gguf_source(*gguf);
  notes.insert(notes.end(), source.notes.begin(), source.notes.end());
  return Model(file, ModelConfig(file, std::move(source.config)), source.checkpoint, std::move(gguf), std::move(notes));
}

Model::Model(fs::path path, ModelConfig config, const Checkpoint& stored, std::shared_ptr<const GgufFile> gguf,
             std::vector<std::string> notes)
    : path_(std::move(path)),
      config_(std::move(config)),
      checkpoint_(stored),
      gguf_(std::move(gguf)),
      notes_(std::move(notes)) {
  notes_.insert(notes_.end(), stored.notes().begin(), stored.notes().end());
  require_plausible_counts(stored, config_);
  const std::vector<ClassTensor> tensors = class_tensors(config_);
  ClassNames names = with_class_names(stored, config_, tensors, notes_);
  checkpoint_ = std::move(names.checkpoint);
  names_in_folder_ = std::move(names.written);
  if (has_float8(checkpoint_)) {
    refuse_in_composite(config_);
    Float8Source source = read_float8_source(checkpoint_, config_.json(), attention_weights_of(config_));
    checkpoint_ = std::move(source.checkpoint);
    config_ = ModelConfig(config_.file(), std::move(source.config), config_.families());
    notes_.insert(notes_.end(), source.notes.begin(), source.notes.end());
  }
  require_complete(checkpoint_, config_, tensors);
  if (config_.is_taken_for_family()) {
    require_nothing_else(checkpoint_, names.left_out, config_, tensors);
    std::string note = "taken for a " + architecture().family;
    const std::vector<std::string> ignored = config_.keys_of_other_families();
    if (!ignored.empty()) {
      note += ", which knows nothing of " + some_of(ignored) +
              " in config.json: see whether this model's class computes something else by them";
    }
    notes_.push_back(std::move(note));
  }
  bind_layers();
  note_layers_with_heads();
  if (has_head_groups()) {
    notes_.push_back("the KV heads of a group are equal (" + std::string(kKvHeadGroups) +
                     "): with trust_remote_code=True transformers caches one of each group; sizes here are of all");
  }
}

void Model::note_layers_with_heads() {
  const auto all = static_cast<std::size_t>(config_.shape().layers);
  if (layers_.size() == all) return;
  notes_.push_back(fmt::format("{} of the {} layers have attention heads, {}; plans and reports number these from 0",
                               layers_.size(), all, fmt::join(places(), ", ")));
}

void Model::bind_layers() {
  layers_.clear();
  const ModelShape& shape = config_.shape();
  const bool head_norm = has_head_norm(config_);
  int index = 0;
  for (const int place : layers_with_heads(config_)) {
    layers_.push_back(bind_layer(checkpoint_, architecture(), shape.of_layer(place), index++, place));
    if (head_norm) bind_norms(checkpoint_, architecture(), layers_.back());
    bind_sinks(checkpoint_, architecture(), layers_.back());
  }
}

std::string Model::name_in_folder(const std::string& tensor) const {
  const auto it = names_in_folder_.find(tensor);
  return it == names_in_folder_.end() ? tensor : it->second;
}

Model Model::with(const Checkpoint& replacements) const {
  Model changed = *this;
  changed.checkpoint_ = checkpoint_.with(replacements);
  changed.bind_layers();
  return changed;
}

std::int64_t Model::parameter_count() const noexcept {
  std::int64_t count = 0;
  for (const TensorView& tensor : checkpoint_.tensors()) count += weight_count(tensor);
  return count;
}

std::int64_t Model::weight_count(const TensorView& tensor) const noexcept {
  const auto& forward = architecture().forward;
  if (!forward || !forward->experts || !forward->experts->may_be_mxfp4 || dtype_bytes(tensor.dtype) != 1)
    return tensor.element_count();
  return tensor.name.ends_with(kMxfp4Blocks)   ? 2 * tensor.element_count()
         : tensor.name.ends_with(kMxfp4Scales) ? 0
                                               : tensor.element_count();
}

std::int64_t Model::kv_bytes_per_token() const noexcept {
  std::int64_t bytes = 0;
  for (const AttentionLayer& layer : layers_) bytes += layer.kv_bytes_per_token();
  return bytes;
}

std::int64_t Model::kv_bytes(std::int64_t tokens, int most_heads) const {
  const std::vector<int> windows = layer_windows(config_);
  std::int64_t bytes = 0;
  for (const AttentionLayer& layer : layers_) {
    const int window = windows[static_cast<std::size_t>(layer.place)];
    bytes += layer.kv_bytes_per_token() / layer.kv_heads * std::min(layer.kv_heads, most_heads) *
             (window > 0 ? std::min<std::int64_t>(tokens, window) : tokens);
  }
  return bytes;
}

std::vector<int> Model::places() const {
  std::vector<int> places;
  for (const AttentionLayer& layer : layers_) places.push_back(layer.place);
  return places;
}

std::vector<int> Model::kv_heads() const {
  std::vector<int> heads;
  for (const AttentionLayer& layer : layers_) heads.push_back(layer.kv_heads);
  return heads;
}

int Model::total_kv_heads() const noexcept {
  int heads = 0;
  for (const AttentionLayer& layer : layers_) heads += layer.kv_heads;
  return heads;
}

}  // namespace qcqa
