#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "qcqa/checkpoint/dtype.hpp"
#include "qcqa/model/model.hpp"

namespace qcqa::testing {

/// A tiny checkpoint of random weights, written to disk as a real one would be.
struct PicoModel {
  std::string family = "llama";
  int layers = 2, query_heads = 4, kv_heads = 4, head_dim = 3, hidden_size = 12;
  bool biases = false;  ///< where config.json decides; other families always have them, or never
  Dtype dtype = Dtype::f32;
  std::uint64_t seed = 1;
  int mlp_size = 0;                                  ///< above 0 for a model that can be run (head_dim even then)
  int vocabulary = 5;                                ///< rows of the embedding
  bool alternates = false;                           ///< heads in the layers of odd number only, where that may be
  const Families* families = &Families::built_in();  ///< among which `family` is
  /// May change an element: (tensor name, index) -> value.
  std::function<double(const std::string&, std::size_t, double)> adjust{};
};

/// Writes config.json, model.safetensors, a tokenizer file and a pass-through integer tensor.
void write_pico_model(const std::filesystem::path& folder, const PicoModel& pico);

/// Names and contents of every file in a folder, for comparing two runs.
[[nodiscard]] std::vector<std::pair<std::string, std::string>> folder_contents(const std::filesystem::path& folder);

/// Elements of a tensor, widened.
[[nodiscard]] std::vector<double> values_of(const TensorView& tensor);
[[nodiscard]] std::vector<double> values_of(const TensorSlice& slice);

/// The output of one attention block in float64 for `tokens` random input vectors (hidden_size each), causal, softmax,
/// no rotary embedding (it acts on all heads alike, so grouping does not interact with it).
/// @returns tokens x hidden_size, row-major
[[nodiscard]] std::vector<double> attention_output(const AttentionLayer& layer, int tokens, std::uint64_t seed);

}  // namespace qcqa::testing
