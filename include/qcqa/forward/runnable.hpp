#pragma once

#include <cstddef>

#include "qcqa/model/model.hpp"

namespace qcqa {

/// What somebody who prepares tokens for a model needs to know of it.
struct RunnableModel {
  std::size_t vocabulary = 0;     ///< token ids are below it
  std::size_t max_positions = 0;  ///< longest sequence it was made for; 0: not stated
};

/// Whether a forward pass over this model is possible, without running one. Touches no weight.
/// @throws Error(unsupported) when the family, or a detail in config.json, cannot be run; Error(not_found, corrupt)
[[nodiscard]] RunnableModel require_runnable(const Model& model);

}  // namespace qcqa
