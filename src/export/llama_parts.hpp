#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "export/output_tensors.hpp"
#include "forward/forward_spec.hpp"

namespace qcqa {

/// The tensors of a model that computes what Llama computes, whatever its family calls and fuses them: RMS norms before
/// both blocks, rotary embedding over whole heads, a gated SiLU MLP. What runtimes with per-layer head counts run.
struct LlamaParts {
  struct Layer {
    const TensorView *attention_norm = nullptr, *mlp_norm = nullptr, *down = nullptr;
    RowRange gate, up;
    bool qkv_bias = false;
    const TensorView *output_bias = nullptr, *gate_bias = nullptr, *up_bias = nullptr, *down_bias = nullptr;
    const TensorView *query_norm = nullptr, *key_norm = nullptr;
  };

  ForwardSpec spec;
  int max_positions = 0;  ///< the model's, or its sliding window: within it, a window changes nothing
  int window = 0;         ///< the sliding window that cut it; 0: none did
  int mlp_width = 0;
  const TensorView *embedding = nullptr, *final_norm = nullptr, *head = nullptr;  ///< no head: tied
  std::vector<Layer> layers{};
  std::vector<double> rotary_factors{};  ///< by which plain frequencies are divided; empty: all 1
  double rotary_theta = 0;

  [[nodiscard]] std::int64_t vocabulary() const { return embedding->shape.front(); }
};

/// What a runtime can do beyond the plain model.
struct LlamaFeatures {
  bool biases = false;
  bool head_norms = false;
  bool rotary_scaling = false;  ///< any that comes down to other frequencies
};

/// @param what  for the message: "--layout openelm"
/// @throws Error(unsupported) with everything that stands in the way
[[nodiscard]] LlamaParts read_llama_parts(const Model& model, std::string_view what, const LlamaFeatures& features);

/// The same, whatever the runtime can do beyond the plain model.
[[nodiscard]] LlamaParts read_llama_parts(const Model& model, std::string_view what);

/// What the model computes beyond these features, in words.
[[nodiscard]] std::vector<std::string> beyond(const LlamaParts& parts, const LlamaFeatures& features);

/// Throws the Error(unsupported) of read_llama_parts unless `differences` is empty.
void require_none(const Model& model, std::string_view what, const std::vector<std::string>& differences);

/// The shortest window of a layer, in tokens; 0 where none is shorter than the longest text.
[[nodiscard]] int shortest_window(const Model& model);

}  // namespace qcqa
