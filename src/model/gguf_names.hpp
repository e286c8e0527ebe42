#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "qcqa/model/architecture.hpp"

namespace qcqa {

/// A tensor, without ".weight" or ".bias".
struct GgufName {
  std::string gguf, ours;
};

/// What llama.cpp calls the tensors of a family.
struct GgufNames {
  std::vector<GgufName> model;
  std::vector<GgufName> layer;  ///< without "blk.3." there, and without the layer's prefix here
};

/// Of a Llama-like family that keeps queries, keys and values apart.
[[nodiscard]] GgufNames gguf_names(const Architecture& architecture);

/// The family that an architecture of llama.cpp has alone, or nullptr.
[[nodiscard]] const Architecture* find_gguf_family(std::string_view gguf_architecture);

/// Those that there are: "a, b or c".
[[nodiscard]] std::string gguf_families_in_words();

}  // namespace qcqa
