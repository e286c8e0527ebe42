#pragma once

#include <deque>
#include <filesystem>
#include <string>
#include <vector>

#include "qcqa/fitness/pairwise_cost.hpp"

namespace qcqa {

/// Head distances from a file instead of from a model's weights, so that any cost of this form can be searched:
///   {"model": "where they come from", "num_heads": 40, "head_dim": 128, "hidden_size": 5120,
///    "layers": {"0": {"k": {"dist": [[...]], "norm": [...]}, "v": {...}}, "12": {...}}}
/// Keys of layers are whole numbers. `dist` is heads x heads, symmetric, diagonal 0; `norm` (squared, for KDGQA), "v",
/// "model", "head_dim" and "hidden_size" may be missing. Other keys are ignored.
struct DistanceFile {
  std::string origin;       ///< "model", or empty
  std::string fingerprint;  ///< 16 hexadecimal digits, of all distances
  int heads = 0;
  int head_dim = 1;                ///< 1 when the file does not say
  int hidden_size = 0;             ///< heads * head_dim when the file does not say
  std::vector<int> layers;         ///< keys, rising
  std::deque<PairwiseCost> costs;  ///< one per layer
};

/// @throws Error(corrupt, not_found) naming the file, the place in it and the rule
[[nodiscard]] DistanceFile read_distance_file(const std::filesystem::path& path);

}  // namespace qcqa
