#include "qcqa/model/model_config.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include "checkpoint/json_file.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/limits.hpp"

namespace qcqa {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

ordered_json read_config(const fs::path& file) {
  ordered_json config = read_json_file<ordered_json>(file);
  if (!config.is_object()) throw Error(ErrorKind::corrupt, file.string(), "must be a JSON object");
  return config;
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
    throw Error(ErrorKind::corrupt, file.string(),
                "\"" + std::string(key) + "\" must hold one positive number per layer", it->dump());
  }
  return counts;
}

void require_head_counts(const ModelShape& shape, const fs::path& file) {
  if (shape.query_heads % shape.kv_heads != 0) {
    throw Error(ErrorKind::corrupt, file.string(), "the KV head count must divide the query head count",
                std::to_string(shape.query_heads) + " query heads, " + std::to_string(shape.kv_heads) + " KV heads");
  }
  if (shape.kv_heads > kMaxKvHeads) {
    throw Error(ErrorKind::unsupported, file.string(), "at most " + std::to_string(kMaxKvHeads) + " KV heads per layer",
                std::to_string(shape.kv_heads));
  }
}

template <typename T>
constexpr std::string_view kTypeName = std::is_same_v<T, double> ? "a number"
                                       : std::is_same_v<T, int>  ? "a positive integer"
                                       : std::is_same_v<T, bool> ? "true or false"
                                                                 : "a text";

template <typename T>
bool fits(const ordered_json& value) {
  if constexpr (std::is_same_v<T, double>) {
    return value.is_number();
  } else if constexpr (std::is_same_v<T, bool>) {
    return value.is_boolean();
  } else if constexpr (std::is_same_v<T, std::string>) {
    return value.is_string();
  } else {
    static constexpr std::int64_t kLimit = 1 << 24;
    return value.is_number_integer() && value.get<std::int64_t>() >= 1 && value.get<std::int64_t>() <= kLimit;
  }
}

/// Of an MLP with a gate that has as many weights as one of width `width` without. As transformers computes it.
int gated_width(const ModelConfig& config, const WidthWithoutGate& description, int width) {
  const int two_thirds = std::max(1, static_cast<int>(2.0 * width / 3.0));
  const double multiplier = config.value(description.multiplier);
  if (multiplier == 0) return two_thirds;
  const std::int64_t unit = config.value(description.multiple_of);
  const double wide = multiplier * two_thirds;
  const double rounded = std::ceil(std::floor(wide) / static_cast<double>(unit)) * static_cast<double>(unit);
  if (rounded >= 1 && rounded <= std::numeric_limits<int>::max()) return static_cast<int>(rounded);
  throw Error(ErrorKind::corrupt, config.file().string(),
              "\"" + description.multiplier.key + "\" must leave the MLP a width", ordered_json(multiplier).dump());
}

ModelShape read_shape(const ModelConfig& config) {
  const Architecture& architecture = config.architecture();
  ModelShape shape;
  shape.layers = config.value(architecture.layers);
  shape.hidden_size = config.value(architecture.hidden_size);
  shape.query_heads = config.value(architecture.query_heads);
  shape.kv_heads = config.value(architecture.kv_heads);
  if (shape.kv_heads == 0) shape.kv_heads = shape.query_heads;
  if (config.value(architecture.one_kv_head)) shape.kv_heads = 1;
  require_head_counts(shape, config.file());
  shape.head_dim = config.value(architecture.head_dim);
  if (shape.head_dim == 0) shape.head_dim = shape.hidden_size / shape.query_heads;
  if (shape.head_dim == 0) {
    throw Error(ErrorKind::corrupt, config.file().string(), "there must not be more query heads than the hidden size",
                std::to_string(shape.query_heads) + " heads, hidden size " + std::to_string(shape.hidden_size));
  }
  shape.vocabulary = config.value(architecture.vocabulary);
  shape.mlp_width = config.value(architecture.mlp_width);
  static constexpr int kUsualWidth = 4;
  if (shape.mlp_width == 0) shape.mlp_width = kUsualWidth * shape.hidden_size;
  if (const auto& without = architecture.mlp_width_without_gate; without && config.value(without->enabled))
    shape.mlp_width = gated_width(config, *without, shape.mlp_width);
  shape.max_positions = config.value(architecture.positions);
  shape.query_heads_per_layer = counts_per_layer(config.json(), config.file(), kQueryHeadsPerLayer, shape.layers);
  shape.kv_heads_per_layer = counts_per_layer(config.json(), config.file(), kKvHeadsPerLayer, shape.layers);
  if (shape.query_heads_per_layer.empty() != shape.kv_heads_per_layer.empty()) {
    throw Error(ErrorKind::corrupt, config.file().string(),
                std::string("needs both of ") + kQueryHeadsPerLayer + " and " + kKvHeadsPerLayer, "one");
  }
  if (!shape.kv_heads_per_layer.empty()) {
    for (int layer = 0; layer < shape.layers; ++layer) require_head_counts(shape.of_layer(layer), config.file());
  }
  return shape;
}

ordered_json text_config_of(const ordered_json& document, const Composite& composite, const fs::path& file) {
  const auto text = document.find(composite.text_config);
  if (text == document.end() && composite.may_be_flat) {
    ordered_json config = document;
    config["model_type"] = composite.text_family;
    return config;
  }
  if (text == document.end() || !text->is_object()) {
    throw Error(ErrorKind::corrupt, file.string(),
                "a " + composite.family + " must hold the config of its text model, \"" + composite.text_config + "\"",
                text == document.end() ? "none" : text->type_name());
  }
  ordered_json config = *text;
  if (!config.contains("model_type") && !composite.text_family.empty()) config["model_type"] = composite.text_family;
  return config;
}

}  // namespace

ModelShape ModelShape::of_layer(int layer) const {
  ModelShape shape = *this;
  shape.query_heads_per_layer.clear();
  shape.kv_heads_per_layer.clear();
  if (!kv_heads_per_layer.empty()) {
    shape.query_heads = query_heads_per_layer[static_cast<std::size_t>(layer)];
    shape.kv_heads = kv_heads_per_layer[static_cast<std::size_t>(layer)];
  }
  return shape;
}

template <typename T>
T ModelConfig::as(const ordered_json& value, const std::string& key) const {
  if (fits<T>(value)) return value.get<T>();
  throw Error(ErrorKind::corrupt, file_.string(), "\"" + key + "\" must be " + std::string(kTypeName<T>), value.dump(),
              value.is_null() ? "Remove the key, and the class's own value counts, or write the value." : "");
}
template double ModelConfig::as<double>(const ordered_json&, const std::string&) const;
template int ModelConfig::as<int>(const ordered_json&, const std::string&) const;
template bool ModelConfig::as<bool>(const ordered_json&, const std::string&) const;
template std::string ModelConfig::as<std::string>(const ordered_json&, const std::string&) const;

bool ModelConfig::is_taken_for_family() const {
  const auto type = json_.find("model_type");
  return type == json_.end() || !type->is_string() || !families_->knows(type->get_ref<const std::string&>());
}

std::vector<std::string> ModelConfig::keys_of_other_families() const {
  const auto says_nothing = [](const ordered_json& value) {
    const auto is_full = [](const ordered_json& type) { return type == "full_attention"; };
    return value.is_null() || value == false || value == 0 || value == 1 ||
           (value.is_array() && std::ranges::all_of(value, is_full));
  };
  std::vector<std::string> keys;
  for (const auto& [key, value] : json_.items()) {
    if (says_nothing(value) || architecture_->keys.contains(key)) continue;
    const auto reads = [&key = key](const Architecture& family) { return family.keys.contains(key); };
    if (std::ranges::any_of(families_->architectures(), reads)) keys.push_back(key);
  }
  return keys;
}

const ordered_json* ModelConfig::find_key(const ordered_json& holder, const std::string& key) {
  if (!holder.is_object()) return nullptr;
  const std::size_t dot = key.find('.');
  const auto it = holder.find(key.substr(0, dot));
  if (it == holder.end()) return nullptr;
  return dot == std::string::npos ? &*it : find_key(*it, key.substr(dot + 1));
}

const OutsideFlag* ModelConfig::outside_flag(const std::string& key) const {
  if (!composite_) return nullptr;
  const auto found = std::ranges::find(composite_->outside_flags, key, &OutsideFlag::key);
  return found == composite_->outside_flags.end() ? nullptr : &*found;
}

ordered_json ModelConfig::document_with(const ordered_json& json) const {
  if (!composite_) return json;
  ordered_json document = document_;
  if (!document.contains(composite_->text_config)) {  // flat
    document = json;
    document["model_type"] = document_["model_type"];
    return document;
  }
  document[composite_->text_config] = json;
  const auto changes = [&](const std::string& key) {
    const auto now = json.find(key);
    return now != json.end() && json_.value(key, ordered_json()) != *now;
  };
  for (const OutsideFlag& flag : composite_->outside_flags) {
    if (changes(flag.key)) document[flag.key] = json[flag.key];
  }
  for (const char* key : {"dtype", "torch_dtype"}) {  // of all parts
    if (document.contains(key) && changes(key)) document[key] = json[key];
  }
  return document;
}

ModelConfig ModelConfig::read(const fs::path& folder, const Families& families) {
  const fs::path file = folder / "config.json";
  return {file, read_config(file), families};
}

ModelConfig::ModelConfig(fs::path file, ordered_json document, const Families& families)
    : file_(std::move(file)),
      json_(std::move(document)),
      families_(&families),
      composite_(families.find_composite(json_)) {
  if (composite_) {
    document_ = std::move(json_);
    json_ = text_config_of(document_, *composite_, file_);
  }
  architecture_ = &families.find(json_, file_);
  const auto layers = json_.find("per_layer_config");
  if (layers != json_.end() && !layers->is_null()) {
    throw Error(ErrorKind::unsupported, file_.string(), "all layers must have one configuration", "per_layer_config");
  }
  shape_ = read_shape(*this);
}

}  // namespace qcqa
