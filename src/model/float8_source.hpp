#pragma once

#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// A checkpoint of 8-bit floats with scales, seen as the numbers that they stand for.
struct Float8Source {
  Checkpoint checkpoint;
  nlohmann::ordered_json config;  ///< says that the attention is not quantised any more
  std::vector<std::string> notes;
};

/// Every matrix of 8-bit floats becomes float32 values, made where they are read. Those of the attention lose their
/// scales and are written as BF16; the others keep theirs, and a copy of the checkpoint keeps their bytes.
/// @param attention  names of the projections' weights
/// @throws Error(corrupt) for scales that do not fit their matrix, Error(not_found) for scales that are missing
[[nodiscard]] Float8Source read_float8_source(const Checkpoint& checkpoint, const nlohmann::ordered_json& config,
                                              std::span<const std::string> attention);

/// Whether there is a matrix of 8-bit floats.
[[nodiscard]] bool has_float8(const Checkpoint& checkpoint);

}  // namespace qcqa
