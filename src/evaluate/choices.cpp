#include "qcqa/evaluate/choices.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "evaluate/window_scores.hpp"

namespace qcqa {
namespace {

/// What a model takes for the answers, by the sum of log-likelihoods and by that divided by the characters.
struct Answers {
  std::vector<std::size_t> by_sum, by_character;
};

std::size_t place_of_largest(const std::vector<double>& values) {
  return static_cast<std::size_t>(std::ranges::max_element(values) - values.begin());
}

/// @param scores  of all choices of all questions, in order
Answers answers_of(std::span<const ChoiceQuestion> questions, const std::vector<std::vector<TokenScore>>& scores,
                   double TokenScore::*loss) {
  Answers answers;
  auto score = scores.begin();
  for (const ChoiceQuestion& question : questions) {
    std::vector<double> sums, per_character;
    for (const ChoiceTokens& choice : question.choices) {
      double sum = 0;
      for (const TokenScore& token : *score++) sum -= token.*loss;
      sums.push_back(sum);
      per_character.push_back(sum / static_cast<double>(choice.characters));
    }
    answers.by_sum.push_back(place_of_largest(sums));
    answers.by_character.push_back(place_of_largest(per_character));
  }
  return answers;
}

/// Share of right answers and its standard error.
std::array<double, 2> share_right(std::span<const ChoiceQuestion> questions, const std::vector<std::size_t>& answers) {
  const auto count = static_cast<double>(questions.size());
  double right = 0;
  for (std::size_t i = 0; i < questions.size(); ++i) right += questions[i].answer == answers[i] ? 1 : 0;
  const double share = right / count;
  return {share, count > 1 ? std::sqrt(share * (1 - share) / (count - 1)) : 0};
}

ChoiceAccuracy accuracy_of(std::span<const ChoiceQuestion> questions, const Answers& answers) {
  const auto [acc, acc_stderr] = share_right(questions, answers.by_sum);
  const auto [acc_norm, acc_norm_stderr] = share_right(questions, answers.by_character);
  return {acc, acc_stderr, acc_norm, acc_norm_stderr};
}

std::int64_t differences(const std::vector<std::size_t>& a, const std::vector<std::size_t>& b) {
  std::int64_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += a[i] == b[i] ? 0 : 1;
  return count;
}

}  // namespace

ChoiceEvaluation evaluate_choices(const Model& model, const Model* reference, std::span<const ChoiceQuestion> questions,
                                  const EvaluateOptions& options, const ProgressFn& progress) {
  std::vector<TokenSequence> windows;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    for (const ChoiceTokens& choice : questions[i].choices) windows.push_back({choice.ids, choice.first_target, i});
  }
  const auto scores = score_windows(model, reference, windows, options, progress);
  const Answers answers = answers_of(questions, scores, &TokenScore::loss);
  ChoiceEvaluation evaluation{.questions = static_cast<std::int64_t>(questions.size()),
                              .accuracy = accuracy_of(questions, answers),
                              .reference = {}};
  if (reference) {
    const Answers others = answers_of(questions, scores, &TokenScore::reference_loss);
    evaluation.reference = {.accuracy = accuracy_of(questions, others),
                            .changed = differences(answers.by_sum, others.by_sum),
                            .changed_norm = differences(answers.by_character, others.by_character)};
  }
  return evaluation;
}

}  // namespace qcqa
