#include "model/attention_facts.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>

#include "model/rope_keys.hpp"
#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"

namespace qcqa {
namespace {

/// One entry of config.json for each layer; nothing where it has no such list.
const nlohmann::ordered_json* list_of_layers(const ModelConfig& config, const char* key) {
  const auto list = config.json().find(key);
  if (list == config.json().end() || list->is_null()) return nullptr;
  if (!list->is_array() || list->size() != static_cast<std::size_t>(config.shape().layers)) {
    throw Error(ErrorKind::corrupt, config.file().string(),
                "\"" + std::string(key) + "\" must hold one type for each of the " +
                    std::to_string(config.shape().layers) + " layers",
                list->is_array() ? std::to_string(list->size()) + " types" : list->dump());
  }
  return &*list;
}

/// Whether each layer is of the kind that has a window, by config.json's layer_types.
std::optional<std::vector<bool>> read_layer_types(const ModelConfig& config) {
  const nlohmann::ordered_json* types = list_of_layers(config, "layer_types");
  if (!types) return {};
  std::vector<bool> windowed;
  for (const auto& type : *types) {
    const bool full = type == "full_attention" || type == "attention";  // the latter by old releases
    if (!full && type != "sliding_attention") {
      throw Error(ErrorKind::unsupported, config.file().string(),
                  "a layer type is \"sliding_attention\" or \"full_attention\"", type.dump());
    }
    windowed.push_back(!full);
  }
  return windowed;
}

/// Whether a kind of GPT-Neo's has a window.
bool is_local(const ModelConfig& config, const std::string& key, const nlohmann::ordered_json& kind) {
  if (kind == "global" || kind == "local") return kind == "local";
  throw Error(ErrorKind::corrupt, config.file().string(), "\"" + key + "\" knows \"global\" and \"local\"",
              kind.dump());
}

/// The same by a list of [[kind, ...], times].
std::optional<std::vector<bool>> read_pattern(const ModelConfig& config, const std::string& key) {
  const auto list = config.json().find(key);
  if (list == config.json().end() || list->is_null()) return {};
  const auto refuse = [&](const std::string& found) {
    throw Error(ErrorKind::corrupt, config.file().string(),
                "\"" + key + "\" must hold lists of kinds, each with a number of times, for all " +
                    std::to_string(config.shape().layers) + " layers",
                found);
  };
  const auto layers = static_cast<std::size_t>(config.shape().layers);
  std::vector<bool> windowed;
  if (!list->is_array()) refuse(list->dump());
  for (const auto& entry : *list) {
    if (!entry.is_array() || entry.size() != 2 || !entry[0].is_array() || !entry[1].is_number_unsigned())
      refuse(entry.dump());
    if (entry[0].size() > layers || entry[1].get<std::uint64_t>() > layers) refuse("more layers");
    for (auto times = entry[1].get<std::uint64_t>(); times > 0; --times) {
      for (const auto& kind : entry[0]) windowed.push_back(is_local(config, key, kind));
    }
    if (windowed.size() > layers) refuse("more layers");  // a list that goes on must not cost memory
  }
  if (windowed.size() != layers) refuse(std::to_string(windowed.size()) + " layers");
  return windowed;
}

/// What config.json says of each layer's window; nothing where it says nothing.
std::optional<std::vector<bool>> stated_windows(const ModelConfig& config) {
  const WindowDescription& window = config.architecture().attention.window;
  if (window.reads_layer_types) return read_layer_types(config);
  if (window.pattern.empty()) return {};
  const nlohmann::ordered_json* list = list_of_layers(config, window.list.c_str());
  if (!list) return read_pattern(config, window.pattern);
  std::vector<bool> windowed;
  for (const auto& kind : *list) windowed.push_back(is_local(config, window.list, kind));
  return windowed;
}

/// Whether config.json says that this layer has no rotary embedding.
bool is_listed_without(const ModelConfig& config, const RotaryDescription& rotary, int layer) {
  const nlohmann::ordered_json* list = list_of_layers(config, rotary.list.c_str());
  if (list) return config.as<double>((*list)[static_cast<std::size_t>(layer)], rotary.list) == 0;
  return (layer + 1) % config.value(rotary.period) == 0;
}

/// The numbers that config.json lists under a key; nothing where it has no such list.
std::optional<std::vector<int>> listed_numbers(const ModelConfig& config, const std::string& key) {
  const auto list = config.json().find(key);
  if (key.empty() || list == config.json().end() || list->is_null()) return {};
  if (!list->is_array())
    throw Error(ErrorKind::corrupt, config.file().string(), "\"" + key + "\" must be a list", list->dump());
  std::vector<int> numbers;
  for (const auto& entry : *list) {
    if (!entry.is_number_integer())
      throw Error(ErrorKind::corrupt, config.file().string(), "\"" + key + "\" must hold numbers of layers",
                  entry.dump());
    const auto number = entry.get<std::int64_t>();  // others than those there are change nothing
    if (number >= 0 && number < config.shape().layers) numbers.push_back(static_cast<int>(number));
  }
  return numbers;
}

bool is_type_with_heads(const ModelConfig& config, const HeadLayers& layers, const nlohmann::ordered_json& type) {
  const auto is_among = [&](const std::vector<std::string>& names) {
    return std::ranges::any_of(names, [&](const std::string& name) { return type == name; });
  };
  if (is_among(layers.types)) return true;
  if (is_among(layers.others)) return false;
  throw Error(ErrorKind::unsupported, config.file().string(),
              "a layer type of a " + config.architecture().family + " is " + in_quotes(layers.types.front()) + " or " +
                  in_quotes(layers.others.front()),
              type.dump());
}

class FactReader {
 public:
  explicit FactReader(const ModelConfig& config)
      : config_(config),
        attention_(config.architecture().attention),
        size_(config.value(attention_.window.enabled) ? config.value(attention_.window.size) : 0),
        types_(stated_windows(config)) {}

  std::vector<int> windows() const {
    std::vector<int> windows;
    for (int layer = 0; layer < config_.shape().layers; ++layer) {
      AttentionFacts facts;
      read_window(layer, facts);
      windows.push_back(facts.window);
    }
    return windows;
  }

  std::vector<AttentionFacts> run() {
    std::vector<AttentionFacts> facts(static_cast<std::size_t>(config_.shape().layers));
    for (std::size_t layer = 0; layer < facts.size(); ++layer) {
      read_window(static_cast<int>(layer), facts[layer]);
      facts[layer].scale = scale();
      facts[layer].softcap = config_.value(attention_.softcap);
      facts[layer].rotary = rotary(static_cast<int>(layer), facts[layer].windowed);
    }
    read_rotary_dims(facts);
    return facts;
  }

 private:
  [[nodiscard]] bool is_windowed_by_default(int layer) const {
    switch (attention_.window.layers) {
      case WindowLayers::even:
        return layer % 2 == 0;
      case WindowLayers::odd:
        return layer % 2 != 0;
      case WindowLayers::from_layer:
        return layer >= config_.value(attention_.window.first_layer);
      case WindowLayers::all_but_every:
        return (layer + 1) % config_.value(attention_.window.period) != 0;
      case WindowLayers::all_but_first_of_every:
        return layer % config_.value(attention_.window.period) != 0;
      case WindowLayers::not_rotated:
        return attention_.rotary && is_listed_without(config_, *attention_.rotary, layer);
      case WindowLayers::all:
        break;
    }
    return true;
  }

  void read_window(int layer, AttentionFacts& facts) const {
    facts.windowed = types_ ? (*types_)[static_cast<std::size_t>(layer)] : size_ >= 1 && is_windowed_by_default(layer);
    if (!facts.windowed) return;
    if (!(size_ >= 1)) {
      const bool is_off = !config_.value(attention_.window.enabled);
      const std::string& key = is_off ? attention_.window.enabled.key : attention_.window.size.key;
      throw Error(ErrorKind::corrupt, config_.file().string(),
                  "a layer of the type \"sliding_attention\" needs a window, " + in_quotes(key),
                  is_off ? "false" : "none");
    }
    facts.window = static_cast<int>(std::min(size_, 1e9));
  }

  [[nodiscard]] double scale() const {
    if (const double scale = config_.value(attention_.scale); scale > 0) return scale;
    const double root = config_.value(attention_.scale_root);
    return 1 / std::sqrt(root > 0 ? root : config_.shape().head_dim);
  }

  [[nodiscard]] LayerRotary rotary(int layer, bool windowed) const {
    if (!attention_.rotary || !is_rotated(*attention_.rotary, layer, windowed)) return LayerRotary::none;
    return windowed && attention_.rotary->windowed_theta ? LayerRotary::windowed : LayerRotary::main;
  }

  [[nodiscard]] bool is_rotated(const RotaryDescription& rotary, int layer, bool windowed) const {
    switch (rotary.layers) {
      case RotatedLayers::windowed:
        return windowed;
      case RotatedLayers::windowed_if_any:
        return windowed || size_ < 1;
      case RotatedLayers::without_alibi:
        return alibi_exponent(config_) == 0;
      case RotatedLayers::listed:
        return !is_listed_without(config_, rotary, layer);
      case RotatedLayers::all:
        break;
    }
    return true;
  }

  void read_rotary_dims(std::vector<AttentionFacts>& facts) const {
    for (const LayerRotary which : {LayerRotary::main, LayerRotary::windowed}) {
      if (std::ranges::find(facts, which, &AttentionFacts::rotary) == facts.end()) continue;
      const int dim = RopeKeys(config_, which).dim();
      for (AttentionFacts& layer : facts) {
        if (layer.rotary == which) layer.rotary_dim = dim;
      }
    }
  }

  const ModelConfig& config_;
  const AttentionDescription& attention_;
  double size_;  ///< of the window; 0: none
  std::optional<std::vector<bool>> types_;
};

}  // namespace

std::vector<AttentionFacts> attention_facts(const ModelConfig& config) { return FactReader(config).run(); }

std::vector<int> layer_windows(const ModelConfig& config) { return FactReader(config).windows(); }

std::vector<int> layers_with_heads(const ModelConfig& config) {
  std::vector<int> layers;
  const auto& description = config.architecture().attention.in_layers;
  const nlohmann::ordered_json* types = description ? list_of_layers(config, "layer_types") : nullptr;
  const std::optional<std::vector<int>> listed =
      description && !types ? listed_numbers(config, description->list) : std::nullopt;
  for (int layer = 0; layer < config.shape().layers; ++layer) {
    const bool with = !description ? true
                      : types      ? is_type_with_heads(config, *description, (*types)[static_cast<std::size_t>(layer)])
                      : listed     ? std::ranges::find(*listed, layer) != listed->end()
                                   : (layer + 1) % config.value(description->every) == 0;
    if (with) layers.push_back(layer);
  }
  if (layers.empty()) {
    throw Error(ErrorKind::unsupported, config.file().string(), "some layers must have attention heads", "none");
  }
  return layers;
}

double alibi_exponent(const ModelConfig& config) {
  const auto& alibi = config.architecture().attention.alibi;
  return alibi && config.value(alibi->enabled) ? config.value(alibi->exponent) : 0;
}

bool has_head_norm(const ModelConfig& config) {
  const HeadNormDescription& norm = config.architecture().attention.head_norm;
  return !norm.query.empty() && config.value(norm.enabled);
}

}  // namespace qcqa
