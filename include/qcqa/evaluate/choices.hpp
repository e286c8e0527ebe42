#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/text/choices.hpp"

namespace qcqa {

/// How often a model's likeliest choice is the answer. Standard errors are sqrt(p (1 - p) / (n - 1)); 0 for one
/// question. Between equals, the first choice counts.
struct ChoiceAccuracy {
  double acc = 0;  ///< by the sum of the log-likelihoods of the choice's tokens, given the context
  double acc_stderr = 0;
  double acc_norm = 0;  ///< by that sum divided by the characters of the choice
  double acc_norm_stderr = 0;
};

/// A model beside a reference, over the same questions.
struct ChoiceComparison {
  ChoiceAccuracy accuracy;        ///< of the reference
  std::int64_t changed = 0;       ///< questions that the model answers otherwise, by the sum
  std::int64_t changed_norm = 0;  ///< the same by the sum divided by the characters
};

struct ChoiceEvaluation {
  std::int64_t questions = 0;
  ChoiceAccuracy accuracy;
  std::optional<ChoiceComparison> reference;
};

/// Answers multiple-choice questions by the likelihood of their choices, as `acc` and `acc_norm` of EleutherAI's
/// lm-evaluation-harness (0.4.13).
/// @param reference  as in evaluate()
/// @param questions  with at least one; those of read_choices()
/// @throws as evaluate()
[[nodiscard]] ChoiceEvaluation evaluate_choices(const Model& model, const Model* reference,
                                                std::span<const ChoiceQuestion> questions,
                                                const EvaluateOptions& options, const ProgressFn& progress = {});

}  // namespace qcqa
