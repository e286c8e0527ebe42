#pragma once

#include <optional>

#include "qcqa/fitness/merge_method.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/plan/plan.hpp"

namespace qcqa {

/// The model with each group's key and value heads replaced by their mean (GQA, arXiv 2305.13245, section 2.1), or by
/// the first of them: same shapes, the heads of a group equal. Nothing is computed before it is read: means are formed
/// in float64 and rounded once, where they are used. Heads that are equal already stay bit for bit.
/// @param pooled  not Pooled::no
[[nodiscard]] Model pooled_model(const Model& model, const Plan& plan, Pooled pooled);

/// The model as a checkpoint holds it whose weights are of this type, or the one that they are written in: what a
/// reader of the output computes with. Quantised weights that are kept as they are stay so.
[[nodiscard]] Model rounded_model(const Model& model, std::optional<Dtype> dtype);

}  // namespace qcqa
