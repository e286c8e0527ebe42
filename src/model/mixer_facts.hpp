#pragma once

#include <cstdint>
#include <optional>

#include "qcqa/model/model_config.hpp"

namespace qcqa {

/// The sizes of the block that layers without heads have, by the family's description and config.json.
struct MixerFacts {
  int taps = 0;
  bool bias = false;
  int key_heads = 0, value_heads = 0, key_dim = 0, value_dim = 0;  ///< 0 but for the gated delta rule

  [[nodiscard]] int values_per_key() const { return value_heads / key_heads; }
  [[nodiscard]] std::int64_t keys_width() const { return std::int64_t{key_heads} * key_dim; }
  [[nodiscard]] std::int64_t values_width() const { return std::int64_t{value_heads} * value_dim; }
  /// What a convolution runs over: queries, keys and values.
  [[nodiscard]] std::int64_t channels() const { return 2 * keys_width() + values_width(); }
};

/// Nothing where all layers of the family have heads. @throws Error(corrupt) for values that the class would not take
[[nodiscard]] std::optional<MixerFacts> mixer_facts(const ModelConfig& config);

}  // namespace qcqa
