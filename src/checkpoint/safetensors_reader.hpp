#pragma once

#include <vector>

#include "checkpoint/mapped_file.hpp"
#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// The tensors of one safetensors file, in file order. Checks every rule of the format; touches no
/// tensor byte.
/// @throws Error(corrupt), or Error(not_found) when the file is a git-lfs pointer
[[nodiscard]] std::vector<TensorView> read_safetensors(const MappedFile& file);

/// @throws Error(not_found) when the file is a git-lfs pointer instead of the file it stands for
void refuse_git_lfs_pointer(const MappedFile& file);

}  // namespace qcqa
