#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "qcqa/model/model_config.hpp"

namespace qcqa {

/// The experts of a model, by its family's description and config.json. See ExpertsDescription.
struct ExpertsFacts {
  int count = 0, per_token = 0, width = 0;
  int shared_width = 0;  ///< of the expert for every token; 0: none
  bool normalised = false;
  double least_sum = 0, multiplier = 1;
  double mixer_tolerance = 0;
  int groups = 1, groups_per_token = 1;
  std::vector<bool> in_layer{};  ///< per layer; some are true

  /// Weights of a layer's experts that one token does not meet.
  [[nodiscard]] std::int64_t idle_entries(std::int64_t hidden_size) const {
    return std::int64_t{3} * width * hidden_size * (count - per_token);
  }
};

/// Nothing where no layer has experts. @throws Error(corrupt) for values that the class would not take
[[nodiscard]] std::optional<ExpertsFacts> experts_facts(const ModelConfig& config);

}  // namespace qcqa
