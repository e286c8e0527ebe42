#pragma once

#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

namespace qcqa {

/// What is kept of a predicted token.
struct TokenScore {
  double loss = 0;  ///< -log of the probability that the model gave to the token
  double reference_loss = 0;
  double kl = 0;          ///< of the model's prediction from the reference's
  bool same_top = false;  ///< both find the same token likeliest
};

/// @param logits     (tokens, vocabulary), float32
/// @param reference  the same for the reference, or undefined
/// @param targets    the token that came, per row
[[nodiscard]] std::vector<TokenScore> score_tokens(const at::Tensor& logits, const at::Tensor& reference,
                                                   const std::vector<std::int64_t>& targets);

}  // namespace qcqa
