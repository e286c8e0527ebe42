#include "qcqa/text/choices.hpp"

#include <algorithm>

#include "checkpoint/json_view.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/text/documents.hpp"
#include "text/corpus/lines.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

constexpr const char* kQuestionFix =
    R"(One question per line: {"context": "...", "choices": ["...", "..."], "answer": 0}.)";

std::size_t characters_of(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); ++count) (void)next_code_point(text, at);
  return count;
}

/// What Python's str.rstrip() leaves: the separators of ASCII count as white space there.
std::size_t end_without_white_space(std::string_view text) {
  std::size_t end = 0;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t character = next_code_point(text, at);
    if (!is_white_space(character) && !in_range(character, 0x1C, 0x1F)) end = at;
  }
  return end;
}

class QuestionReader {
 public:
  QuestionReader(const Tokenizer& tokenizer, BosRule bos, std::size_t context)
      : tokenizer_(tokenizer), before_(frame_of(tokenizer, bos).before), context_(context) {}

  [[nodiscard]] ChoiceQuestion read(const JsonView& line) const {
    const std::string text = line.at("context").text();
    const std::vector<JsonView> items = line.at("choices").items();
    if (items.size() < 2) line.at("choices").corrupt("must be two or more", std::to_string(items.size()));
    const auto last = static_cast<std::int64_t>(items.size()) - 1;
    ChoiceQuestion question{.choices = {}, .answer = static_cast<std::size_t>(line.at("answer").integer(0, last))};
    const std::size_t end = end_without_white_space(text);
    const std::string stripped = text.substr(0, end);
    const std::vector<TokenId> context = context_ids(stripped, line);
    for (const JsonView& item : items) {
      const std::string choice = item.text();
      if (choice.empty()) item.corrupt("must not be empty");
      const std::vector<TokenId> whole =
          stripped.empty() ? context_and(context, text + choice) : tokens_of(text + choice);
      question.choices.push_back(cut(context, whole, item));
      question.choices.back().characters = characters_of(choice);
    }
    return question;
  }

 private:
  [[nodiscard]] std::vector<TokenId> tokens_of(const std::string& text) const { return context_and(before_, text); }

  [[nodiscard]] std::vector<TokenId> context_and(std::vector<TokenId> ids, const std::string& text) const {
    const std::vector<TokenId> more = tokenizer_.encode(text);
    ids.insert(ids.end(), more.begin(), more.end());
    return ids;
  }

  [[nodiscard]] std::vector<TokenId> context_ids(const std::string& text, const JsonView& line) const {
    if (!text.empty()) return tokens_of(text);
    const SpecialTokens& special = tokenizer_.special();
    if (special.bos) return {*special.bos};
    if (special.eos.empty()) line.at("context").corrupt("must not be empty where the tokenizer has no BOS and no EOS");
    return {special.eos.front()};
  }

  /// The tokens of the choice behind those of the context, whether or not `whole` begins with these.
  [[nodiscard]] ChoiceTokens cut(const std::vector<TokenId>& context, const std::vector<TokenId>& whole,
                                 const JsonView& item) const {
    if (whole.size() <= context.size()) item.corrupt("must add a token to those of the context", "none");
    const std::size_t own = whole.size() - context.size();
    if (own >= context_) {
      item.corrupt(
          "must have at most the " + std::to_string(context_ - 1) + " tokens that leave room for one before it",
          std::to_string(own));
    }
    const std::size_t kept = std::min(context.size(), context_ - own);
    ChoiceTokens tokens{.ids = {context.end() - static_cast<std::ptrdiff_t>(kept), context.end()},
                        .first_target = kept};
    tokens.ids.insert(tokens.ids.end(), whole.end() - static_cast<std::ptrdiff_t>(own), whole.end());
    return tokens;
  }

  const Tokenizer& tokenizer_;
  std::vector<TokenId> before_;
  std::size_t context_;
};

}  // namespace

std::vector<ChoiceQuestion> read_choices(const std::filesystem::path& file, const Tokenizer& tokenizer, BosRule bos,
                                         std::size_t context) {
  const QuestionReader reader(tokenizer, bos, context);
  std::vector<ChoiceQuestion> questions;
  for_each_line(file, DocumentLimits().bytes, [&](const std::string& line, const std::string& where) {
    const nlohmann::json question = object_of_line(line, where, kQuestionFix);
    questions.push_back(reader.read(JsonView(question, where, kQuestionFix)));
    return true;
  });
  if (questions.empty()) {
    throw Error(ErrorKind::invalid_argument, file.string(), "must have questions", "none", kQuestionFix);
  }
  return questions;
}

}  // namespace qcqa
