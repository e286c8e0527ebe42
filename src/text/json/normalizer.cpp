#include "text/json/normalizer.hpp"

#include <algorithm>
#include <vector>

#include "support/in_quotes.hpp"
#include "text/base64.hpp"
#include "text/json/bert_steps.hpp"
#include "text/json/regex.hpp"
#include "text/unicode/byte_alphabet.hpp"
#include "text/unicode/character_map.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

std::string replace_all(std::string_view text, std::string_view what, std::string_view by) {
  std::string result;
  std::size_t done = 0;
  for (std::size_t at = text.find(what); at != std::string_view::npos; at = text.find(what, done)) {
    result.append(text.substr(done, at - done)).append(by);
    done = at + what.size();
  }
  result.append(text.substr(done));
  return result;
}

std::string strip(std::string_view text, bool left, bool right) {
  std::size_t first = text.size(), last = 0;  // bounds of what is not white space
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (is_white_space(next_code_point(text, at))) continue;
    first = std::min(first, begin);
    last = at;
  }
  const std::size_t begin = left ? first : 0;
  const std::size_t end = right ? std::max(last, begin) : text.size();
  return std::string(text.substr(begin, end - begin));
}

std::string without_marks(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    if (!is_mark(next_code_point(text, at))) result += text.substr(begin, at - begin);
  }
  return result;
}

/// The rules of SentencePiece as the tokenizers package applies them: a short cluster of characters becomes what the
/// shortest rule that its beginning fits says, as a whole; else every character is looked up alone.
Normalizer make_precompiled(const JsonView& description) {
  const JsonView encoded = description.at("precompiled_charsmap");
  const auto bytes = bytes_of_base64(encoded.text());
  if (!bytes) encoded.corrupt("must be base64");
  constexpr std::size_t kLongestCluster = 5;
  return [rules = CharacterMap(*bytes, encoded.where())](std::string_view text) {
    std::string result;
    for (std::size_t at = 0; at < text.size();) {
      const std::string_view cluster = text.substr(at, grapheme_end(text, at) - at);
      at += cluster.size();
      const auto whole = cluster.size() <= kLongestCluster ? rules.shortest(cluster, 0) : CharacterMap::Match{};
      if (whole.length > 0) {
        result += whole.target;
        continue;
      }
      for (std::size_t place = 0; place < cluster.size();) {
        const std::string_view character = cluster.substr(place, utf8_length(cluster[place]));
        const auto match = rules.shortest(character, 0);
        result += match.length > 0 ? match.target : character;
        place += character.size();
      }
    }
    return result;
  };
}

Normalizer normalizer_sequence(const JsonView& description) {
  std::vector<Normalizer> steps;
  for (const JsonView& step : description.at("normalizers").items()) steps.push_back(make_normalizer(step));
  return [steps](std::string_view text) {
    std::string result(text);
    for (const Normalizer& step : steps) result = step(result);
    return result;
  };
}

}  // namespace

Normalizer make_replacement(const JsonView& description) {
  const JsonView pattern = description.at("pattern");
  const std::string content = description.at("content").text();
  if (const auto literal = pattern.find("String")) {
    const std::string what = literal->text();
    if (what.empty()) unsupported(*literal, "an empty pattern");
    return [what, content](std::string_view text) { return replace_all(text, what, content); };
  }
  const JsonView expression = pattern.at("Regex");
  if (content.find('$') != std::string::npos)
    unsupported(description, "\"$\" in the replacement of a regular expression");
  const Regex regex(expression.text(), expression.where());
  return [regex, content](std::string_view text) {
    std::string result;
    std::size_t done = 0;
    for (const TextRange& match : regex.matches(text)) {
      result.append(text.substr(done, match.begin - done)).append(content);
      done = match.end;
    }
    result.append(text.substr(done));
    return result;
  };
}

Normalizer make_normalizer(const JsonView& description) {
  const std::string type = description.type();
  const auto form = [](NormalForm wanted) {
    return [wanted](std::string_view text) { return to_normal_form(text, wanted); };
  };
  if (type == "Sequence") return normalizer_sequence(description);
  if (type == "NFC") return form(NormalForm::nfc);
  if (type == "NFD") return form(NormalForm::nfd);
  if (type == "NFKC") return form(NormalForm::nfkc);
  if (type == "NFKD") return form(NormalForm::nfkd);
  if (type == "Lowercase") return to_lower_case;
  if (type == "StripAccents") return without_marks;
  if (type == "Replace") return make_replacement(description);
  if (type == "Precompiled") return make_precompiled(description);
  if (type == "BertNormalizer") return make_bert_normalizer(description);
  if (type == "Nmt") return normalize_nmt;
  if (type == "ByteLevel") return [](std::string_view text) { return byte_alphabet().spell(text); };
  if (type == "Prepend") {
    const std::string prefix = description.at("prepend").text();
    return [prefix](std::string_view text) { return text.empty() ? std::string() : prefix + std::string(text); };
  }
  if (type == "Strip") {
    const bool left = description.at("strip_left").flag(), right = description.at("strip_right").flag();
    return [left, right](std::string_view text) { return strip(text, left, right); };
  }
  unsupported(description, "normalizer " + in_quotes(type));
}

}  // namespace qcqa
