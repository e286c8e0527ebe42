#pragma once

#include <filesystem>
#include <string>
#include <type_traits>
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
/// default; null stands for what it stands for there, or is refused as it is there. Of a composite: the text model's.
class ModelConfig {
 public:
  /// @param file      for messages
  /// @param families  must outlive this
  /// @throws Error(corrupt, unsupported)
  ModelConfig(std::filesystem::path file, nlohmann::ordered_json document,
              const Families& families = Families::built_in());
  /// The config.json of a folder. @throws Error(not_found, corrupt, unsupported)
  [[nodiscard]] static ModelConfig read(const std::filesystem::path& folder,
                                        const Families& families = Families::built_in());

  [[nodiscard]] const std::filesystem::path& file() const noexcept { return file_; }
  /// The model's own part of the document.
  [[nodiscard]] const nlohmann::ordered_json& json() const noexcept { return json_; }
  /// config.json as a whole.
  [[nodiscard]] const nlohmann::ordered_json& document() const noexcept { return composite_ ? document_ : json_; }
  /// The document with this in the place of json(). Keys that count outside of it are changed there.
  [[nodiscard]] nlohmann::ordered_json document_with(const nlohmann::ordered_json& json) const;
  [[nodiscard]] const Architecture& architecture() const noexcept { return *architecture_; }
  /// The model_type is none of the family's: somebody said that it is one of these.
  [[nodiscard]] bool is_taken_for_family() const;
  /// Keys that say something, that some family reads and this one does not.
  [[nodiscard]] std::vector<std::string> keys_of_other_families() const;
  [[nodiscard]] const Families& families() const noexcept { return *families_; }
  /// What the model is a part of, or nullptr.
  [[nodiscard]] const Composite* composite() const noexcept { return composite_; }
  [[nodiscard]] const ModelShape& shape() const noexcept { return shape_; }

  /// T is double, int, bool or std::string. @throws Error(corrupt) for another type, or a null that stands for nothing
  template <typename T>
  [[nodiscard]] T value(const Setting<T>& setting) const {
    if (setting.key.empty()) return setting.fallback;
    if constexpr (std::is_same_v<T, bool>) {
      if (const OutsideFlag* flag = outside_flag(setting.key)) {
        return value_in<bool>(document_, {.key = flag->key, .fallback = flag->fallback}) ||
               (flag->or_inside && value_in(json_, setting));
      }
    }
    return value_in(json_, setting);
  }

  /// A value of config.json, wherever it stands in it. @param key  for the message
  template <typename T>
  [[nodiscard]] T as(const nlohmann::ordered_json& value, const std::string& key) const;

 private:
  /// @param key  "a.b" stands for the b of the object under a  @returns nullptr where there is none
  [[nodiscard]] static const nlohmann::ordered_json* find_key(const nlohmann::ordered_json& holder,
                                                              const std::string& key);
  template <typename T>
  [[nodiscard]] T value_in(const nlohmann::ordered_json& holder, const Setting<T>& setting) const {
    const nlohmann::ordered_json* found = find_key(holder, setting.key);
    if ((!found || found->is_null()) && !setting.also.empty()) {
      if (const auto* other = find_key(holder, setting.also)) found = other;
    }
    if (!found) return setting.fallback;
    if (found->is_null() && setting.null) return *setting.null;
    return as<T>(*found, setting.key);
  }
  /// What the composite says of a key that counts beside its text model, or nullptr.
  [[nodiscard]] const OutsideFlag* outside_flag(const std::string& key) const;

  std::filesystem::path file_;
  nlohmann::ordered_json json_, document_;  ///< no document_ without a composite
  const Families* families_;
  const Composite* composite_ = nullptr;
  const Architecture* architecture_ = nullptr;
  ModelShape shape_;
};

}  // namespace qcqa
