#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tiny_llama.hpp"

namespace qcqa::examples {

/// labels[h] is the group of KV head h; one such vector per layer.
using ModelGrouping = std::vector<std::vector<std::size_t>>;

struct PoolingResult {
  std::string name;
  double weight_error = 0.0;  ///< weight-sharing error, summed over layers
  double loss = 0.0;          ///< nats per token on the held-out rows
};

/// What mean pooling the KV heads in pairs does to the model, without any healing: the untouched
/// model, neighbours paired, `random_groupings` random pairings, the pairings of smallest and of
/// largest weight-sharing error (all 105 are tried per layer). Shows whether it matters which heads
/// share; converting properly is the library's work, not this program's.
[[nodiscard]] std::vector<PoolingResult> check_pooling(const TinyLlama& model, const torch::Tensor& held_out,
                                                       std::size_t random_groupings, std::uint64_t seed);

/// Mean loss in nats per token over `rows` (count, length), a few rows at a time.
[[nodiscard]] double held_out_loss(const TinyLlama& model, const torch::Tensor& rows);

}  // namespace qcqa::examples
