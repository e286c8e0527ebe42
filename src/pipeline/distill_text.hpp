#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "qcqa/pipeline/distill.hpp"

namespace qcqa {

/// README.md of the output: the model's own, and what was done to it since. Without times: the same however often it
/// was interrupted.
[[nodiscard]] std::string distilled_card(const Model& model, const Model& original, const DistillSettings& settings,
                                         const DistillOutcome& outcome);

/// kDistillFile.
[[nodiscard]] std::string distilled_json(const Model& model, const Model& original, const DistillSettings& settings,
                                         const DistillOutcome& outcome);

/// The report in the model's folder without what was measured on the old weights; empty where there is none.
[[nodiscard]] std::string carried_report(const Model& model);

}  // namespace qcqa
