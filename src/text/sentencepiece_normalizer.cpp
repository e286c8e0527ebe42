#include "text/sentencepiece_normalizer.hpp"

#include "qcqa/support/error.hpp"
#include "text/unicode.hpp"

namespace qcqa {
namespace {

// The double array is that of Darts-clone (Aoe 1989, "An Efficient Digital Search Algorithm by Using a Double-Array
// Structure"; bit layout of darts.h): a unit holds its label, the distance to its children and whether a value is one.
std::uint32_t label(std::uint32_t unit) { return unit & 0x800000FFu; }
bool has_value(std::uint32_t unit) { return (unit >> 8 & 1) != 0; }
std::uint32_t value(std::uint32_t unit) { return unit & 0x7FFFFFFFu; }
std::uint32_t distance(std::uint32_t unit) { return (unit >> 10) << ((unit & (1u << 9)) >> 6); }

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t number = 0;
  for (std::size_t i = 4; i-- > 0;) number = (number << 8) | static_cast<unsigned char>(bytes[i]);
  return number;
}

}  // namespace

SentencePieceNormalizer::SentencePieceNormalizer(const SentencePieceModel& model) : model_(model) {
  std::string_view map = model.character_map;
  if (map.empty()) return;
  const std::size_t size = map.size() < 4 ? 0 : little_endian(map);
  if (size < 4 || size % 4 != 0 || size > map.size() - 4 || invalid_utf8_at(map.substr(4 + size))) {
    throw Error(ErrorKind::corrupt, model.where, "the character map must be a double array and UTF-8 texts", {},
                "Download the file again.");
  }
  for (std::size_t at = 4; at < 4 + size; at += 4) rules_.push_back(little_endian(map.substr(at)));
  targets_ = map.substr(4 + size);
  targets_ += '\0';
}

std::size_t SentencePieceNormalizer::longest_rule(std::string_view text, std::size_t at, std::size_t& target) const {
  std::size_t longest = 0;
  std::uint32_t place = distance(rules_[0]);
  for (std::size_t end = at; end < text.size() && place < rules_.size(); ++end) {
    place ^= static_cast<unsigned char>(text[end]);
    if (place >= rules_.size() || label(rules_[place]) != static_cast<unsigned char>(text[end])) break;
    const std::uint32_t unit = rules_[place];
    place ^= distance(unit);
    // A broken map may point anywhere; what points outside is no rule.
    if (has_value(unit) && place < rules_.size() && value(rules_[place]) < targets_.size()) {
      longest = end + 1 - at;
      target = value(rules_[place]);
    }
  }
  return longest;
}

SentencePieceNormalizer::Step SentencePieceNormalizer::next(std::string_view text, std::size_t at) const {
  bool is_user_defined = false;
  const std::size_t symbol = model_.symbol_length(text, at, is_user_defined);
  if (is_user_defined || rules_.empty()) return {text.substr(at, symbol), symbol};
  std::size_t target = 0;
  if (const std::size_t length = longest_rule(text, at, target)) return {targets_.c_str() + target, length};
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
