#include "qcqa/evaluate/choices.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

class EvaluateChoices : public ::testing::Test {
 protected:
  [[nodiscard]] Model model(const std::string& name, std::uint64_t seed) const {
    write_pico_model(folder_ / name,
                     {.query_heads = 4, .kv_heads = 4, .head_dim = 4, .seed = seed, .mlp_size = 10, .vocabulary = 20});
    return Model::open(folder_ / name);
  }

  TemporaryFolder folder_;
};

/// Questions of three different choices of two tokens.
std::vector<ChoiceQuestion> some_questions() {
  std::vector<ChoiceQuestion> questions(12);
  TokenId token = 1;
  const auto next = [&] { return token = token * 2 % 19; };  // all of 1 to 18 in turn
  for (std::size_t i = 0; i < questions.size(); ++i) {
    const std::vector<TokenId> context = {next(), static_cast<TokenId>(i)};
    questions[i].answer = i % 3;
    for (std::size_t k = 0; k < 3; ++k) {
      questions[i].choices.push_back({.ids = {context[0], context[1], next(), next()},
                                      .first_target = context.size(),
                                      .characters = 8 + (i + 2 * k) % 3});
    }
  }
  return questions;
}

/// The likeliest choice, each evaluated by itself. @param power  of the characters that the likelihood is divided by
std::vector<std::size_t> answers_by_definition(const Model& model, const std::vector<ChoiceQuestion>& questions,
                                               double power) {
  std::vector<std::size_t> answers;
  for (const ChoiceQuestion& question : questions) {
    std::vector<double> likelihoods;
    for (const ChoiceTokens& choice : question.choices) {
      const Evaluation one =
          evaluate(model, nullptr, std::vector<TokenSequence>{{choice.ids, choice.first_target, 0}}, {});
      likelihoods.push_back(-one.cross_entropy * static_cast<double>(one.tokens) /
                            std::pow(static_cast<double>(choice.characters), power));
    }
    answers.push_back(static_cast<std::size_t>(std::ranges::max_element(likelihoods) - likelihoods.begin()));
  }
  return answers;
}

double share_right(const std::vector<ChoiceQuestion>& questions, const std::vector<std::size_t>& answers) {
  double right = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) right += answers[i] == questions[i].answer ? 1 : 0;
  return right / static_cast<double>(answers.size());
}

TEST_F(EvaluateChoices, LikeliestChoicesAreTheAnswers) {
  const Model first = model("first", 1);
  const Model second = model("second", 2);
  const auto questions = some_questions();
  const ChoiceEvaluation found = evaluate_choices(first, &second, questions, {});
  EXPECT_EQ(found.questions, 12);
  ASSERT_TRUE(found.reference);
  for (const bool norm : {false, true}) {
    const auto ours = answers_by_definition(first, questions, norm ? 1 : 0);
    const auto theirs = answers_by_definition(second, questions, norm ? 1 : 0);
    const double share = share_right(questions, ours);
    EXPECT_EQ(norm ? found.accuracy.acc_norm : found.accuracy.acc, share);
    EXPECT_DOUBLE_EQ(norm ? found.accuracy.acc_norm_stderr : found.accuracy.acc_stderr,
                     std::sqrt(share * (1 - share) / 11));
    const ChoiceAccuracy& other = found.reference->accuracy;
    EXPECT_EQ(norm ? other.acc_norm : other.acc, share_right(questions, theirs));
    const auto changed = std::ranges::count_if(
        ours, [&, i = 0](std::size_t answer) mutable { return answer != theirs[static_cast<std::size_t>(i++)]; });
    EXPECT_GT(changed, 0);
    EXPECT_EQ(norm ? found.reference->changed_norm : found.reference->changed, changed);
  }
  EXPECT_NE(answers_by_definition(first, questions, 0), answers_by_definition(first, questions, 1));
}

TEST_F(EvaluateChoices, EqualsGoToTheFirstAndOneQuestionHasNoError) {
  const Model one = model("one", 1);
  const ChoiceTokens choice{.ids = {1, 2, 3}, .first_target = 2, .characters = 1};
  const ChoiceEvaluation found =
      evaluate_choices(one, nullptr, std::vector<ChoiceQuestion>{{.choices = {choice, choice}, .answer = 0}}, {});
  EXPECT_EQ(found.accuracy.acc, 1);
  EXPECT_EQ(found.accuracy.acc_norm, 1);
  EXPECT_EQ(found.accuracy.acc_stderr, 0);
  EXPECT_FALSE(found.reference);
}

}  // namespace
}  // namespace qcqa
