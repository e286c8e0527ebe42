#include "qcqa/model/model.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "checkpoint/folder_contents.hpp"
#include "checkpoint/gguf.hpp"
#include "checkpoint/json_file.hpp"
#include "model/float8_source.hpp"
#include "model/gguf_source.hpp"
#include "model/quantised.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/limits.hpp"

namespace qcqa {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

struct Shape {
  int layers = 0, query_heads = 0, kv_heads = 0, head_dim = 0, hidden_size = 0;
  std::vector<int> query_heads_per_layer{}, kv_heads_per_layer{};  ///< empty: the same in all layers

  [[nodiscard]] Shape of_layer(int layer) const {
    Shape shape{.layers = layers, .query_heads = query_heads, .kv_heads = kv_heads, .head_dim = head_dim, .hidden_size = hidden_size};
    if (!kv_heads_per_layer.empty()) {
      shape.query_heads = query_heads_per_layer[static_cast<std::size_t>(layer)];
      shape.kv_heads = kv_heads_per_layer[static_cast<std::size_t>(layer)];
    }
    return shape;
  }
};

ordered_json read_config(const fs::path& file) {
  ordered_json config = read_json_file<ordered_json>(file);
  if (!config.is_object()) throw Error(ErrorKind::corrupt, file.string(), "must be a JSON object");
  return config;
}

/// A positive integer of config.json; `fallback` stands in when the key is absent or null and is not 0.
int positive(const ordered_json& config, const fs::path& file, const std::string& key, int fallback = 0) {
  const auto it = key.empty() ? config.end() : config.find(key);
  if (it == config.end() || it->is_null()) {
    if (fallback > 0) return fallback;
    throw Error(ErrorKind::corrupt, file.string(), "needs the key \"" + key + "\"", "none");
  }
  static constexpr std::int64_t kLimit = 1 << 24;
  if (!it->is_number_integer() || it->get<std::int64_t>() < 1 || it->get<std::int64_t>() > kLimit) {
    throw Error(ErrorKind::corrupt, file.string(), "\"" + key + "\" must be a positive integer", it->dump());
  }
  return it->get<int>();
}

/// Head counts of every layer; empty without the key.
std::vector<int> counts_per_layer(const ordered_json& config, const fs::path& file, const char* key, int layers) {
  const auto it = config.find(key);
  if (it == config.end()) return {};
  std::vector<int> counts;
  static constexpr std::int64_t kLimit = 1 << 16;
  for (const ordered_json& count : *it) {
    if (count.is_number_integer() && count.get<std::int64_t>() >= 1 && count.get<std::int64_t>() <= kLimit) {
      counts.push_back(count.get<int>());
    }
  }
  if (!it->is_array() || it->size() != static_cast<std::size_t>(layers) || counts.size() != it->size()) {
    throw Error(ErrorKind::corrupt, file.string(), "\"" + std::string(key) + "\" must hold one positive number per layer", it->dump());
  }
  return counts;
}

void require_head_counts(const Shape& shape, const fs::path& file) {
  if (shape.query_heads % shape.kv_heads != 0) {
    throw Error(ErrorKind::corrupt, file.string(), "the KV head count must divide the query head count",
                std::to_string(shape.query_heads) + " query heads, " + std::to_string(shape.kv_heads) + " KV heads");
  }
  if (shape.kv_heads > kMaxKvHeads) {
    throw Error(ErrorKind::unsupported, file.string(), "at most " + std::to_string(kMaxKvHeads) + " KV heads per layer",
                std::to_string(shape.kv_heads));
  }
}

Shape read_shape(const ordered_json& config, const Architecture& architecture, const fs::path& file) {
  Shape shape;
  shape.layers = positive(config, file, architecture.layers_key);
  shape.hidden_size = positive(config, file, architecture.hidden_size_key);
  shape.query_heads = positive(config, file, architecture.query_heads_key);
  shape.kv_heads = positive(config, file, architecture.kv_heads_key, shape.query_heads);
  require_head_counts(shape, file);
  const bool divides = shape.hidden_size % shape.query_heads == 0;
  shape.head_dim = positive(config, file, architecture.head_dim_key, divides ? shape.hidden_size / shape.query_heads : 0);
  shape.query_heads_per_layer = counts_per_layer(config, file, kQueryHeadsPerLayer, shape.layers);
  shape.kv_heads_per_layer = counts_per_layer(config, file, kKvHeadsPerLayer, shape.layers);
  if (shape.query_heads_per_layer.empty() != shape.kv_heads_per_layer.empty()) {
    throw Error(ErrorKind::corrupt, file.string(), std::string("needs both of ") + kQueryHeadsPerLayer + " and " + kKvHeadsPerLayer, "one");
  }
  return shape;
}

std::string shape_text(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

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

AttentionLayer bind_layer(const Checkpoint& checkpoint, const Architecture& architecture, const Shape& shape, int index) {
  AttentionLayer layer{.layer = index, .query_heads = shape.query_heads, .kv_heads = shape.kv_heads,
                       .head_dim = shape.head_dim, .hidden_size = shape.hidden_size};
  layer.query.resize(static_cast<std::size_t>(shape.query_heads));
  layer.key.resize(static_cast<std::size_t>(shape.kv_heads));
  layer.value.resize(static_cast<std::size_t>(shape.kv_heads));
  for (const Projection& projection : architecture.projections) {
    const auto slots = head_slots(projection, shape.query_heads, shape.kv_heads);
    const std::int64_t rows = static_cast<std::int64_t>(slots.size()) * shape.head_dim;
    const TensorView& weight = checkpoint.at(architecture.tensor_name(index, projection.tensor, ".weight"));
    const TensorView* bias = checkpoint.find(architecture.tensor_name(index, projection.tensor, ".bias"));
    require_attention_dtype(weight);
    require_shape(weight, {rows, shape.hidden_size});
    if (bias) {
      require_attention_dtype(*bias);
      require_shape(*bias, {rows});
    }
    for (std::size_t i = 0; i < slots.size(); ++i) {
      auto& heads = slots[i].role == HeadRole::query ? layer.query : slots[i].role == HeadRole::key ? layer.key : layer.value;
      HeadRows& head = heads[static_cast<std::size_t>(slots[i].head)];
      const std::int64_t first = static_cast<std::int64_t>(i) * shape.head_dim;
      head.weight = weight.rows(first, shape.head_dim);
      if (bias) head.bias = bias->rows(first, shape.head_dim);
      if (slots[i].role == HeadRole::key) layer.dtype = weight.written_dtype();
    }
  }
  layer.output = &checkpoint.at(architecture.tensor_name(index, architecture.output, ".weight"));
  require_attention_dtype(*layer.output);
  require_shape(*layer.output, {shape.hidden_size, static_cast<std::int64_t>(shape.query_heads) * shape.head_dim});
  return layer;
}

std::vector<std::string> attention_weights_of(const Architecture& architecture, int layers) {
  std::vector<std::string> names;
  for (int layer = 0; layer < layers; ++layer) {
    for (const Projection& projection : architecture.projections)
      names.push_back(architecture.tensor_name(layer, projection.tensor, ".weight"));
    names.push_back(architecture.tensor_name(layer, architecture.output, ".weight"));
  }
  return names;
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
  throw Error(ErrorKind::invalid_argument, folder.string(), "must hold config.json and weights, or one GGUF file", names,
              "Give the path of one of these files.");
}

}  // namespace

Model Model::open(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored) && is_gguf(path)) return open_gguf(path, {});
  if (!fs::is_directory(path, ignored)) {
    const bool exists = fs::exists(path, ignored);
    throw Error(exists ? ErrorKind::invalid_argument : ErrorKind::not_found, path.string(),
                "a model is a folder with config.json and weights, or a GGUF file", exists ? "another file" : "nothing there",
                "Give the path of a downloaded Hugging Face model folder.");
  }
  const fs::path config_file = path / "config.json";
  if (!fs::exists(config_file, ignored)) {
    if (const auto file = only_gguf_in(path)) return open_gguf(*file, {"the folder's model is " + file->filename().string()});
    refuse_folder(path, FolderLacks::config);
  }
  ordered_json config = read_config(config_file);
  const Architecture& architecture = find_architecture(config, config_file);
  Checkpoint checkpoint = Checkpoint::open(path);
  refuse_quantised(config, checkpoint, config_file);
  return Model(path, std::move(config), architecture, std::move(checkpoint), nullptr);
}

Model Model::open_gguf(const fs::path& file, std::vector<std::string> notes) {
  auto gguf = std::make_shared<const GgufFile>(read_gguf(file));
  GgufSource source = read_gguf_source(*gguf);
  const Architecture& architecture = find_architecture(source.config, file);
  Model model(file, std::move(source.config), architecture, std::move(source.checkpoint), std::move(gguf));
  for (auto* more : {&notes, &source.notes}) model.notes_.insert(model.notes_.end(), more->begin(), more->end());
  return model;
}

Model::Model(fs::path path, ordered_json config, const Architecture& architecture, Checkpoint checkpoint,
             std::shared_ptr<const GgufFile> gguf)
    : path_(std::move(path)), config_(std::move(config)), architecture_(&architecture), checkpoint_(std::move(checkpoint)),
      gguf_(std::move(gguf)) {
  notes_.assign(checkpoint_.notes().begin(), checkpoint_.notes().end());
  const Shape shape = read_shape(config_, architecture, config_file());
  if (has_float8(checkpoint_)) {
    Float8Source source = read_float8_source(checkpoint_, config_, attention_weights_of(architecture, shape.layers));
    checkpoint_ = std::move(source.checkpoint);
    config_ = std::move(source.config);
    notes_.insert(notes_.end(), source.notes.begin(), source.notes.end());
  }
  const auto layer_shape = [&](int i) {
    const Shape of_layer = shape.of_layer(i);
    require_head_counts(of_layer, config_file());
    return of_layer;
  };
  layers_.reserve(static_cast<std::size_t>(shape.layers));
  for (int i = 0; i < shape.layers; ++i) layers_.push_back(bind_layer(checkpoint_, architecture, layer_shape(i), i));
}

Model Model::with(const Checkpoint& replacements) const {
  return Model(path_, config_, *architecture_, checkpoint_.with(replacements), gguf_);
}

std::int64_t Model::parameter_count() const noexcept {
  std::int64_t count = 0;
  for (const TensorView& tensor : checkpoint_.tensors()) count += tensor.element_count();
  return count;
}

std::int64_t Model::kv_bytes_per_token() const noexcept {
  std::int64_t bytes = 0;
  for (const AttentionLayer& layer : layers_) bytes += layer.kv_bytes_per_token();
  return bytes;
}

int Model::total_kv_heads() const noexcept {
  int heads = 0;
  for (const AttentionLayer& layer : layers_) heads += layer.kv_heads;
  return heads;
}

}  // namespace qcqa
