#include "text/sentencepiece/sentencepiece_normalizer.hpp"

namespace qcqa {

SentencePieceNormalizer::SentencePieceNormalizer(const SentencePieceModel& model)
    : model_(model), rules_(model.character_map, model.where) {}

SentencePieceNormalizer::Step SentencePieceNormalizer::next(std::string_view text, std::size_t at) const {
  bool is_user_defined = false;
  const std::size_t symbol = model_.symbol_length(text, at, is_user_defined);
  if (is_user_defined || rules_.empty()) return {text.substr(at, symbol), symbol};
  if (const auto match = rules_.longest(text, at); match.length > 0) return {match.target, match.length};
  return {text.substr(at, symbol), symbol};
}

std::string SentencePieceNormalizer::apply(std::string_view text) const {
  const bool removes = model_.remove_extra_spaces;
  const std::string_view space = model_.escape_spaces ? kSpaceSymbol : " ";
  std::size_t at = 0;
  while (removes && at < text.size()) {
    const Step step = next(text, at);
    if (step.text != " ") break;
    at += step.consumed;
  }
  std::string result;
  if (at == text.size()) return result;
  result.reserve(text.size() + text.size() / 2);
  if (model_.add_dummy_prefix) result += space;
  for (bool after_space = removes; at < text.size();) {
    Step step = next(text, at);
    at += step.consumed;
    while (after_space && step.text.starts_with(' ')) step.text.remove_prefix(1);
    if (step.text.empty()) continue;
    for (const char c : step.text) {
      if (c == ' ') {
        result += space;
      } else {
        result += c;
      }
    }
    after_space = removes && step.text.ends_with(' ');
  }
  while (removes && result.ends_with(space)) result.resize(result.size() - space.size());
  return result;
}

}  // namespace qcqa
