#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint/gguf.hpp"
#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// A GGUF file as the Hugging Face folder that it was made from: config.json and tensors under the names of the model
/// class, rows of query and key heads in that class's order. Quantised weights are float32 values, made where they are
/// read.
struct GgufSource {
  nlohmann::ordered_json config;
  Checkpoint checkpoint;
  std::vector<std::string> notes;
};

/// @throws Error(unsupported) for an architecture, or a detail of one, that has no class here; Error(corrupt) for
/// missing
///         keys
[[nodiscard]] GgufSource read_gguf_source(const GgufFile& file);

}  // namespace qcqa
