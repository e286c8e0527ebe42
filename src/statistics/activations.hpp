#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace qcqa {

/// A float32 tensor (rows, width) for activations: in memory, or in a file without a name in `folder` that the system
/// keeps in memory as far as there is room. The storage goes with the tensor.
/// @throws Error(io) when the disk has no room
[[nodiscard]] at::Tensor make_activations(std::int64_t rows, std::int64_t width, bool in_file,
                                          const std::filesystem::path& folder);

/// Square of every token's length, never 0. Errors are judged as a share of it: that is what the norms to come make of
/// them. The streams of a few tokens are far longer than all others, and would decide alone.
[[nodiscard]] at::Tensor squares_of(const at::Tensor& stream);

/// Which tokens' stream is far longer than most others' (massive activations, arXiv 2402.17762).
/// @param stream  (tokens, hidden_size)  @returns (tokens), bool
[[nodiscard]] at::Tensor massive_tokens(const at::Tensor& stream);

/// How much each token counts, so that a few have a share of the whole that is worth meeting; the mean is 1.
/// @param few  (tokens), bool  @returns (tokens), float
[[nodiscard]] at::Tensor importance_of(const at::Tensor& few);

}  // namespace qcqa
