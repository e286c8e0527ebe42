#pragma once

#include <string>
#include <utility>
#include <vector>

#include "qcqa/model/model_config.hpp"

namespace qcqa {

/// Which linear layers have a bias.
struct Biases {
  bool projections = false;  ///< any of queries, keys and values
  bool output = false;       ///< of the attention
  bool mlp = false;

  friend bool operator==(const Biases&, const Biases&) = default;
};

[[nodiscard]] Biases biases_of(const ModelConfig& config);

/// What a config.json of a family says so that its class has these biases.
struct BiasSettings {
  std::vector<std::pair<std::string, bool>> keys;
  Biases biases;  ///< that the class has then: one key may stand for several, and some have none
};
[[nodiscard]] BiasSettings settings_for(const Architecture& architecture, const Biases& wanted);

}  // namespace qcqa
