#pragma once

#include <vector>

#include "checkpoint/mapped_file.hpp"
#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// The tensors of a `torch.save`d state dict. Never runs code from the file.
/// @throws Error(corrupt, unsupported, not_found)
[[nodiscard]] std::vector<TensorView> read_pytorch(const MappedFile& file);

}  // namespace qcqa
