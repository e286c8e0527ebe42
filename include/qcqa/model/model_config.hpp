#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "qcqa/model/architecture.hpp"

namespace qcqa {

/// Sizes that the model class takes: config.json's, or its own defaults.
struct ModelShape {
  int layers = 0, query_heads = 0, kv_heads = 0, head_dim = 0, hidden_size = 0;
  int vocabulary = 0, mlp_width = 0;
  int max_positions = 0;                                           ///< longest sequence it was made for
  std::vector<int> query_heads_per_layer{}, kv_heads_per_layer{};  ///< empty: the same in all layers

  /// With the head counts of one layer.
  [[nodiscard]] ModelShape of_layer(int layer) const;
};

/// A config.json and what the model class of transformers makes of it. Whatever the file leaves out has the class's
/// default; null stands for what it stands for there, or is refused as it is there.
class ModelConfig {
 public:
  /// The config.json of a folder. @throws Error(not_found, corrupt, unsupported)
  /// @param file  for messages
  ModelConfig(std::filesystem::path file, nlohmann::ordered_json json);
  [[nodiscard]] static ModelConfig read(const std::filesystem::path& folder);

  [[nodiscard]] const std::filesystem::path& file() const noexcept { return file_; }
  [[nodiscard]] const nlohmann::ordered_json& json() const noexcept { return json_; }
  [[nodiscard]] const Architecture& architecture() const noexcept { return *architecture_; }
  [[nodiscard]] const ModelShape& shape() const noexcept { return shape_; }

  /// T is double, int, bool or std::string. @throws Error(corrupt) for another type, or a null that stands for nothing
  template <typename T>
  [[nodiscard]] T value(const Setting<T>& setting) const {
    const auto it = setting.key.empty() ? json_.end() : json_.find(setting.key);
    if (it == json_.end()) return setting.fallback;
    if (it->is_null() && setting.null) return *setting.null;
    return as<T>(*it, setting.key);
  }

  /// A value of config.json, wherever it stands in it. @param key  for the message
  template <typename T>
  [[nodiscard]] T as(const nlohmann::ordered_json& value, const std::string& key) const;

 private:
  std::filesystem::path file_;
  nlohmann::ordered_json json_;
  const Architecture* architecture_;
  ModelShape shape_;
};

}  // namespace qcqa
