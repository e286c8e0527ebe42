#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace qcqa {

/// A float32 tensor (rows, width) for activations: in memory, or in a file without a name in `folder` that the system
/// keeps in memory as far as there is room. The storage goes with the tensor.
/// @throws Error(io) when the disk has no room
[[nodiscard]] at::Tensor make_activations(std::int64_t rows, std::int64_t width, bool in_file,
                                          const std::filesystem::path& folder);

}  // namespace qcqa
