#include "text/json/pre_tokenizer.hpp"

#include <array>
#include <utility>

#include "support/in_quotes.hpp"
#include "text/unicode/byte_alphabet.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

// GPT-2's published pattern: contractions, then words, numbers and other characters with an optional space before.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

using CodePointTest = bool (*)(char32_t);

PreTokenizer split_by_regex(Regex regex, SplitBehavior behavior, bool inverted) {
  return [regex = std::move(regex), behavior, inverted](Pieces& pieces) {
    pieces.split([&](std::string_view text, std::vector<TextRange>& parts) {
      split_at(text.size(), regex.matches(text), behavior, inverted, parts);
    });
  };
}

/// Splits at every code point that passes the test.
PreTokenizer split_by_test(CodePointTest test, SplitBehavior behavior) {
  return [test, behavior](Pieces& pieces) {
    pieces.split([&](std::string_view text, std::vector<TextRange>& parts) {
      std::vector<TextRange> matches;
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t begin = at;
        if (test(next_code_point(text, at))) matches.push_back({begin, at});
      }
      split_at(text.size(), matches, behavior, false, parts);
    });
  };
}

SplitBehavior read_behavior(const JsonView& name) {
  static constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kNames{{
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous},
  }};
  const std::string text = name.text();
  for (const auto& [known, behavior] : kNames) {
    if (text == known) return behavior;
  }
  unsupported(name, "behavior " + in_quotes(text));
}

PreTokenizer pre_tokenizer_sequence(const JsonView& description) {
  std::vector<PreTokenizer> steps;
  for (const JsonView& step : description.at("pretokenizers").items()) steps.push_back(make_pre_tokenizer(step));
  return [steps](Pieces& pieces) {
    for (const PreTokenizer& step : steps) step(pieces);
  };
}

PreTokenizer make_byte_level(const JsonView& description) {
  const bool add_prefix_space = description.flag_or("add_prefix_space", true);
  PreTokenizer words;
  if (description.flag_or("use_regex", true)) {
    words = split_by_regex(Regex(kGpt2Pattern, description.where()), SplitBehavior::isolated, false);
  }
  return [add_prefix_space, words](Pieces& pieces) {
    if (add_prefix_space) {
      pieces.rewrite([](std::string_view text, bool) {
        std::string result(text.starts_with(' ') ? "" : " ");
        return result.append(text);
      });
    }
    if (words) words(pieces);
    pieces.rewrite([](std::string_view text, bool) { return byte_alphabet().spell(text); });
  };
}

PreTokenizer make_split(const JsonView& description) {
  const SplitBehavior behavior = read_behavior(description.at("behavior"));
  const bool inverted = description.flag_or("invert", false);
  const JsonView pattern = description.at("pattern");
  const auto literal = pattern.find("String");
  const JsonView expression = literal ? *literal : pattern.at("Regex");
  const std::string text = expression.text();
  return split_by_regex(Regex(literal ? Regex::escape(text) : text, expression.where()), behavior, inverted);
}

PreTokenizer make_metaspace(const JsonView& description) {
  const std::string replacement = description.at("replacement").text();
  const std::string scheme =
      description.text_or("prepend_scheme", description.flag_or("add_prefix_space", true) ? "always" : "never");
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    unsupported(description, "prepend_scheme " + in_quotes(scheme));
  }
  PreTokenizer words;
  if (description.flag_or("split", true)) {
    words =
        split_by_regex(Regex(Regex::escape(replacement), description.where()), SplitBehavior::merged_with_next, false);
  }
  return [replacement, scheme, words](Pieces& pieces) {
    pieces.rewrite([&](std::string_view text, bool at_start) {
      const bool prepends = scheme == "always" || (scheme == "first" && at_start);
      std::string result;
      if (prepends && !text.starts_with(' ') && !text.starts_with(replacement)) result += replacement;
      for (const char c : text) {
        if (c == ' ') {
          result += replacement;
        } else {
          result += c;
        }
      }
      return result;
    });
    if (words) words(pieces);
  };
}

PreTokenizer make_bert(const JsonView&) {
  const PreTokenizer words = split_by_test(is_white_space, SplitBehavior::removed);
  const PreTokenizer marks = split_by_test(is_punctuation, SplitBehavior::isolated);
  return [words, marks](Pieces& pieces) {
    words(pieces);
    marks(pieces);
  };
}

PreTokenizer make_delimiter(const JsonView& description) {
  const JsonView delimiter = description.at("delimiter");
  return split_by_regex(Regex(Regex::escape(delimiter.text()), delimiter.where()), SplitBehavior::removed, false);
}

/// Runs of word characters and runs of other characters; white space is dropped.
void split_words(std::string_view text, std::vector<TextRange>& parts) {
  enum class Kind { none, word, other };
  Kind previous = Kind::none;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text, at);
    const Kind kind = is_word(c) ? Kind::word : is_white_space(c) ? Kind::none : Kind::other;
    if (kind != Kind::none && kind == previous) {
      parts.back().end = at;
    } else if (kind != Kind::none) {
      parts.push_back({begin, at});
    }
    previous = kind;
  }
}

}  // namespace

PreTokenizer make_pre_tokenizer(const JsonView& description) {
  const std::string type = description.type();
  if (type == "Sequence") return pre_tokenizer_sequence(description);
  if (type == "ByteLevel") return make_byte_level(description);
  if (type == "Split") return make_split(description);
  if (type == "Metaspace") return make_metaspace(description);
  if (type == "BertPreTokenizer") return make_bert(description);
  if (type == "CharDelimiterSplit") return make_delimiter(description);
  if (type == "Whitespace") return [](Pieces& pieces) { pieces.split(split_words); };
  if (type == "WhitespaceSplit") return split_by_test(is_white_space, SplitBehavior::removed);
  if (type == "Digits") {
    const bool one_by_one = description.flag_or("individual_digits", false);
    return split_by_test(is_numeric, one_by_one ? SplitBehavior::isolated : SplitBehavior::contiguous);
  }
  if (type == "Punctuation") {
    const auto behavior = description.find("behavior");
    return split_by_test(is_punctuation, behavior ? read_behavior(*behavior) : SplitBehavior::isolated);
  }
  unsupported(description, "pre_tokenizer " + in_quotes(type));
}

}  // namespace qcqa
