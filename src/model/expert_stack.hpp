#pragma once

#include "qcqa/checkpoint/checkpoint.hpp"
#include "qcqa/model/experts_description.hpp"

namespace qcqa {

/// The tensors of a matrix in MXFP4 instead of its own. See ExpertsDescription::may_be_mxfp4.
inline constexpr const char *kMxfp4Blocks = "_blocks", *kMxfp4Scales = "_scales";

/// A tensor (experts, outputs, inputs) of a model whose experts are stacked, however it is stored.
/// @param name  without ".weight"
/// @throws Error(corrupt) for parts that do not fit one another
[[nodiscard]] TensorView expert_stack(const Checkpoint& checkpoint, const ExpertsDescription& experts,
                                      const std::string& name);

}  // namespace qcqa
