#include "qcqa/text/choices.hpp"

#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"
#include "text/tokenizer_files.hpp"

namespace qcqa::testing {
namespace {

using Ids = std::vector<TokenId>;

/// The fallback tokenizer: BOS 1, a space 259, a 260, b 261, A 262, " a" 263, "ab" 264, " ab" 265, bytes from 3 on; a
/// space is put before every text.
class Choices : public ::testing::Test {
 protected:
  [[nodiscard]] std::vector<ChoiceQuestion> read(const std::string& lines, std::size_t context = 16,
                                                 BosRule bos = BosRule::as_tokenizer) const {
    folder_.write("tokenizer.json", fallback_json().dump());
    return read_choices(folder_.write("q.jsonl", lines), Tokenizer::open(folder_.path()), bos, context);
  }
  void expect_refused(ErrorKind kind, const char* part, const std::string& lines, std::size_t context = 16) const {
    expect_error(kind, part, [&] { (void)read(lines, context); });
  }

  TemporaryFolder folder_;
};

void expect_tokens(const ChoiceTokens& found, const Ids& context, const Ids& choice) {
  Ids all = context;
  all.insert(all.end(), choice.begin(), choice.end());
  EXPECT_EQ(found.ids, all);
  EXPECT_EQ(found.first_target, context.size());
}

TEST_F(Choices, WhiteSpaceAtTheEndOfAContextBelongsToTheChoice) {
  const auto questions = read(R"({"context": "ab A ", "choices": ["ab", "b"], "answer": 1})");
  ASSERT_EQ(questions.size(), 1);
  EXPECT_EQ(questions[0].answer, 1);
  ASSERT_EQ(questions[0].choices.size(), 2);
  expect_tokens(questions[0].choices[0], {1, 265, 259, 262}, {265});
  expect_tokens(questions[0].choices[1], {1, 265, 259, 262}, {259, 261});
  EXPECT_EQ(questions[0].choices[0].characters, 2);
  EXPECT_EQ(questions[0].choices[1].characters, 1);
}

TEST_F(Choices, TokensOfAChoiceAreWhatTheWholeHasMore) {
  // "abb" is " ab", "b": what the context became stays, and one token is the choice's.
  expect_tokens(read(R"({"context": "a", "choices": ["bb", "A"], "answer": 0})")[0].choices[0], {1, 263}, {261});
  expect_refused(ErrorKind::corrupt,
                 "q.jsonl, line 1: choices[1]: must add a token to those of the context; found none",
                 R"({"context": "a", "choices": ["A", "b"], "answer": 0})");
}

TEST_F(Choices, AnEmptyContextIsBos) {
  for (const BosRule bos : {BosRule::as_tokenizer, BosRule::never}) {
    expect_tokens(read(R"({"context": "", "choices": ["ab", "A"], "answer": 0})", 16, bos)[0].choices[1], {1},
                  {259, 262});
    expect_tokens(read(R"({"context": " \n", "choices": ["ab", "A"], "answer": 0})", 16, bos)[0].choices[0], {1},
                  {259, 259, 3 + '\n', 264});
  }
  expect_tokens(read(R"({"context": "ab", "choices": ["A", "b"], "answer": 0})", 16, BosRule::never)[0].choices[0],
                {265}, {262});
}

TEST_F(Choices, WhatExceedsTheContextIsCutOffAtTheLeft) {
  const std::string line = R"({"context": "ab A ", "choices": ["ab", "b"], "answer": 1})";
  expect_tokens(read(line, 3)[0].choices[0], {259, 262}, {265});
  expect_tokens(read(line, 3)[0].choices[1], {262}, {259, 261});
  expect_refused(ErrorKind::corrupt,
                 "choices[1]: must have at most the 1 tokens that leave room for one before it; found 2", line, 2);
}

TEST_F(Choices, LengthIsInCharacters) {
  EXPECT_EQ(read(R"({"context": "a", "choices": ["\u00e9\u4f60", "A"], "answer": 0})")[0].choices[0].characters, 2);
}

TEST_F(Choices, ErrorsNameTheLine) {
  const std::string good = "{\"context\": \"a\", \"choices\": [\"A\", \"A b\"], \"answer\": 0}\n\n";
  const std::vector<std::pair<const char*, std::string>> mistakes = {
      {"q.jsonl, line 3: must be JSON; found", R"({"context": )"},
      {"line 3: must be a JSON object; found array", R"([1])"},
      {"line 3: must have a member \"context\"", R"({"choices": ["A", "b"], "answer": 0})"},
      {"line 3: context: must be a string; found 1", R"({"context": 1, "choices": ["A", "b"], "answer": 0})"},
      {"line 3: must have a member \"choices\"", R"({"context": "a", "answer": 0})"},
      {"line 3: choices: must be two or more; found 1", R"({"context": "a", "choices": ["A"], "answer": 0})"},
      {"line 3: choices[1]: must not be empty", R"({"context": "a", "choices": ["A", ""], "answer": 0})"},
      {"line 3: choices[0]: must be a string", R"({"context": "a", "choices": [1, "A"], "answer": 0})"},
      {"line 3: answer: must be an integer from 0 to 1; found 2",
       R"({"context": "a", "choices": ["A", "A"], "answer": 2})"},
      {"line 3: answer: must be an integer from 0 to 1; found -1",
       R"({"context": "a", "choices": ["A", "A"], "answer": -1})"},
      {"line 3: must have a member \"answer\"", R"({"context": "a", "choices": ["A", "A"]})"},
  };
  for (const auto& [part, line] : mistakes) {
    SCOPED_TRACE(line);
    expect_refused(ErrorKind::corrupt, part, good + line);
  }
  EXPECT_EQ(read(good).size(), 1);
  expect_refused(ErrorKind::invalid_argument, "q.jsonl: must have questions; found none. One question per line:", "\n");
}

}  // namespace
}  // namespace qcqa::testing
