#pragma once

#include <string>
#include <vector>

#include "model/attention_facts.hpp"

namespace qcqa {

/// What config.json says of a rotary embedding: rope_parameters or rope_scaling, whichever is there, with the keys
/// beside it as fallbacks. transformers 5 keeps one set for each kind of layer where a family has several.
class RopeKeys {
 public:
  /// @throws Error(unsupported) for sets by kind of layer in a family that has one embedding
  RopeKeys(const ModelConfig& config, LayerRotary of);

  /// The kind of scaling, "default" without one.
  [[nodiscard]] std::string kind() const;
  [[nodiscard]] double theta() const;
  /// How many dimensions of a head are rotated. @throws Error(unsupported) unless it is an even number
  [[nodiscard]] int dim() const;

  /// Null stands for nothing, as in the class.
  [[nodiscard]] double number(const char* key, double fallback) const;
  /// @throws Error(corrupt) unless it is there and positive
  [[nodiscard]] double number(const char* key) const;
  [[nodiscard]] bool flag(const char* key, bool fallback) const;
  [[nodiscard]] bool has(const char* key) const { return keys_.contains(key) && !keys_[key].is_null(); }
  [[nodiscard]] std::vector<double> numbers(const char* key, std::size_t count) const;
  /// The key beside the scaling comes first: Phi-3 keeps the trained length there.
  [[nodiscard]] double original_positions() const;
  [[nodiscard]] double max_positions() const { return config_.shape().max_positions; }
  [[noreturn]] void unsupported(const std::string& rule, const std::string& found) const;

 private:
  /// A key that the class wants here, or beside the scaling.
  [[nodiscard]] double number(const char* key, const Setting<double>& beside) const;
  [[nodiscard]] double share() const;
  [[nodiscard]] std::string file() const { return config_.file().string(); }

  const ModelConfig& config_;
  const RotaryDescription& names_;
  const Setting<double>& theta_;
  nlohmann::ordered_json keys_ = nlohmann::ordered_json::object();
};

}  // namespace qcqa
