#include "text/unicode/character_map.hpp"

#include "qcqa/support/error.hpp"
#include "support/advice.hpp"
#include "text/unicode/unicode.hpp"

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

CharacterMap::CharacterMap(std::string_view bytes, const std::string& where) {
  if (bytes.empty()) return;
  const std::size_t size = bytes.size() < 4 ? 0 : little_endian(bytes);
  if (size < 4 || size % 4 != 0 || size > bytes.size() - 4 || invalid_utf8_at(bytes.substr(4 + size))) {
    throw Error(ErrorKind::corrupt, where, "the character map must be a double array and UTF-8 texts", {}, kFetchAgain);
  }
  for (std::size_t at = 4; at < 4 + size; at += 4) rules_.push_back(little_endian(bytes.substr(at)));
  targets_ = bytes.substr(4 + size);
  targets_ += '\0';
}

CharacterMap::Match CharacterMap::find(std::string_view text, std::size_t at, bool first) const {
  Match match;
  if (rules_.empty()) return match;
  std::uint32_t place = distance(rules_[0]);
  for (std::size_t end = at; end < text.size() && place < rules_.size(); ++end) {
    place ^= static_cast<unsigned char>(text[end]);
    if (place >= rules_.size() || label(rules_[place]) != static_cast<unsigned char>(text[end])) break;
    const std::uint32_t unit = rules_[place];
    place ^= distance(unit);
    // A broken map may point anywhere; what points outside is no rule.
    if (has_value(unit) && place < rules_.size() && value(rules_[place]) < targets_.size()) {
      match = {end + 1 - at, targets_.c_str() + value(rules_[place])};
      if (first) break;
    }
  }
  return match;
}

CharacterMap::Match CharacterMap::longest(std::string_view text, std::size_t at) const { return find(text, at, false); }
CharacterMap::Match CharacterMap::shortest(std::string_view text, std::size_t at) const { return find(text, at, true); }

}  // namespace qcqa
