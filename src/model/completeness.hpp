#pragma once

#include <vector>

#include "model/class_tensors.hpp"
#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// Comes before anything that makes a list of all layers, or of their experts: a config.json that lies must not cost
/// memory.
/// @throws Error(corrupt) when there are fewer tensors than layers, or than experts with tensors of their own
void require_plausible_counts(const Checkpoint& checkpoint, const ModelConfig& config);

/// Every tensor that the class needs is there and has its shape. A layer of a family whose layers are not described
/// must hold what its other layers hold.
/// @throws Error(not_found) that names the first missing tensors and how many there are; Error(corrupt, unsupported)
void require_complete(const Checkpoint& checkpoint, const ModelConfig& config, const std::vector<ClassTensor>& tensors);

/// What the checkpoint holds beside what the class has, but for buffers that classes compute.
/// @param left_out  see ClassNames
[[nodiscard]] std::vector<std::string> tensors_beside(const Checkpoint& checkpoint,
                                                      const std::vector<std::string>& left_out,
                                                      const std::vector<ClassTensor>& tensors);

/// For a model_type that somebody said is one of the family's: the checkpoint holds nothing but what the class needs.
/// @param left_out  what it holds beside: see ClassNames
/// @throws Error(unsupported)
void require_nothing_else(const Checkpoint& checkpoint, const std::vector<std::string>& left_out,
                          const ModelConfig& config, const std::vector<ClassTensor>& tensors);

/// "[4, 12]"
[[nodiscard]] std::string shape_text(std::span<const std::int64_t> shape);

/// "a, b and 4 more"
[[nodiscard]] std::string some_of(const std::vector<std::string>& names);

}  // namespace qcqa
