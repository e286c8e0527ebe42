#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "text/json/normalizer.hpp"
#include "text/json/pieces.hpp"
#include "text/json/pre_tokenizer.hpp"
#include "text/json/regex.hpp"
#include "text/json/regions.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa::testing {
namespace {

using nlohmann::json;
using Strings = std::vector<std::string>;

std::string normalized(const json& description, std::string_view text) {
  return make_normalizer(tokenizer_view(description, "test"))(text);
}

Strings pieces_of(const json& description, std::string_view text) {
  Pieces pieces;
  pieces.add({text, Piece::kIsText, true});
  make_pre_tokenizer(tokenizer_view(description, "test"))(pieces);
  Strings result;
  for (const Piece& piece : pieces.all()) result.emplace_back(piece.text);
  return result;
}

Strings parts_of(SplitBehavior behavior, bool inverted) {
  const std::string_view text = "a--b-";
  std::vector<TextRange> parts;
  split_at(text.size(), {{1, 2}, {2, 3}, {4, 5}}, behavior, inverted, parts);
  Strings result;
  for (const TextRange& part : parts) result.emplace_back(text.substr(part.begin, part.end - part.begin));
  return result;
}

TEST(Unicode, FindsTheFirstByteThatIsNotUtf8) {
  EXPECT_EQ(invalid_utf8_at("a\u00e9\u4f60\U0010FFFF"), std::nullopt);
  EXPECT_EQ(invalid_utf8_at("ab\x80"), 2u);
  EXPECT_EQ(invalid_utf8_at("\xC0\x80"), 0u);          // overlong
  EXPECT_EQ(invalid_utf8_at("\xED\xA0\x80"), 0u);      // surrogate
  EXPECT_EQ(invalid_utf8_at("\xF4\x90\x80\x80"), 0u);  // beyond U+10FFFF
  EXPECT_EQ(invalid_utf8_at("a\xE4\xBD"), 1u);         // cut off
}

TEST(Unicode, ReplacesMaximalSubparts) {
  EXPECT_EQ(utf8_lossy("a\xF0\x9F\x98"), "a\uFFFD");
  EXPECT_EQ(utf8_lossy("\xED\xA0\x80z"), "\uFFFD\uFFFD\uFFFDz");
}

TEST(Normalizer, Forms) {
  EXPECT_EQ(normalized({{"type", "NFC"}}, "e\u0301"), "\u00e9");
  EXPECT_EQ(normalized({{"type", "NFD"}}, "\u00e9"), "e\u0301");
  EXPECT_EQ(normalized({{"type", "NFKC"}}, "\ufb01\u00bd"), "fi1\u20442");
  EXPECT_EQ(normalized({{"type", "NFKD"}}, "\u212b"), "A\u030a");
  EXPECT_EQ(normalized({{"type", "NFC"}}, std::string_view("a\0b", 3)), std::string("a\0b", 3));
}

TEST(Normalizer, LowersLetterByLetter) {
  EXPECT_EQ(normalized({{"type", "Lowercase"}}, "\u0130\u03a3A\u1e9e"), "i\u0307\u03c3a\u00df");
}

TEST(Normalizer, StripsTheSidesAskedFor) {
  const auto strip = [](bool left, bool right) {
    return normalized({{"type", "Strip"}, {"strip_left", left}, {"strip_right", right}}, " \u3000a b\n");
  };
  EXPECT_EQ(strip(true, true), "a b");
  EXPECT_EQ(strip(true, false), "a b\n");
  EXPECT_EQ(strip(false, true), " \u3000a b");
  EXPECT_EQ(normalized({{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}}, "  \n"), "");
  EXPECT_EQ(normalized({{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}}, "  \n"), "");
}

TEST(Normalizer, ReplacesByRegularExpression) {
  EXPECT_EQ(normalized({{"type", "Replace"}, {"pattern", {{"Regex", "\\s+"}}}, {"content", "_"}}, "a \n b"), "a_b");
  expect_error(ErrorKind::unsupported, "\"$\" in the replacement", [] {
    normalized({{"type", "Replace"}, {"pattern", {{"Regex", "(a)"}}}, {"content", "$1"}}, "a");
  });
}

TEST(Split, Behaviors) {
  EXPECT_EQ(parts_of(SplitBehavior::removed, false), (Strings{"a", "b"}));
  EXPECT_EQ(parts_of(SplitBehavior::removed, true), (Strings{"-", "-", "-"}));
  EXPECT_EQ(parts_of(SplitBehavior::isolated, false), (Strings{"a", "-", "-", "b", "-"}));
  EXPECT_EQ(parts_of(SplitBehavior::merged_with_previous, false), (Strings{"a-", "-", "b-"}));
  EXPECT_EQ(parts_of(SplitBehavior::merged_with_next, false), (Strings{"a", "-", "-b", "-"}));
  EXPECT_EQ(parts_of(SplitBehavior::contiguous, false), (Strings{"a", "--", "b", "-"}));
}

TEST(PreTokenizer, PrependsToTheFirstPieceOnly) {
  const json first{{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "first"}};
  Pieces pieces;
  pieces.add({"a b", Piece::kIsText, true});
  pieces.add({{}, 7, false});
  pieces.add({"c", Piece::kIsText, false});
  make_pre_tokenizer(tokenizer_view(first, "test"))(pieces);
  ASSERT_EQ(pieces.all().size(), 4u);
  EXPECT_EQ(pieces.all()[0].text, "_a");
  EXPECT_EQ(pieces.all()[1].text, "_b");
  EXPECT_EQ(pieces.all()[2].id, 7);
  EXPECT_EQ(pieces.all()[3].text, "c");
}

TEST(PreTokenizer, CutsWordsDigitsAndPunctuation) {
  EXPECT_EQ(pieces_of({{"type", "Whitespace"}}, "Hi, you_2!! \u00e9t\u00e9"),
            (Strings{"Hi", ",", "you_2", "!!", "\u00e9t\u00e9"}));
  EXPECT_EQ(pieces_of({{"type", "WhitespaceSplit"}}, " a\u3000b "), (Strings{"a", "b"}));
  EXPECT_EQ(pieces_of({{"type", "Digits"}}, "a12\u0663b"), (Strings{"a", "12\u0663", "b"}));
  EXPECT_EQ(pieces_of({{"type", "Digits"}, {"individual_digits", true}}, "a12"), (Strings{"a", "1", "2"}));
  EXPECT_EQ(pieces_of({{"type", "Punctuation"}}, "a$b\u3002"), (Strings{"a", "$", "b", "\u3002"}));
}

TEST(Regex, ReadsPatternsAsRubyDoes) {
  const auto matches = [](const char* pattern, std::string_view text) {
    Strings result;
    for (const TextRange& match : Regex(pattern, "test").matches(text)) {
      result.emplace_back(text.substr(match.begin, match.end - match.begin));
    }
    return result;
  };
  EXPECT_EQ(matches("\\s+", "a \u180e\u3000b"), (Strings{" ", "\u3000"}));  // U+180E is no white space
  EXPECT_EQ(matches("\\h+", "x12fg "), Strings{"12f"});                     // hexadecimal digits
  EXPECT_EQ(matches("\\w+", "e\u0301_\u00bd"), Strings{"e\u0301_"});        // marks, but no fractions
  EXPECT_EQ(matches("^b$", "a\nb\nc"), Strings{"b"});                       // lines
  EXPECT_EQ(matches("(?m:a.b)", "a\nb"), Strings{"a\nb"});                  // m: the dot matches all
  EXPECT_EQ(matches("\\u2581", "\u2581a"), Strings{"\u2581"});
  EXPECT_EQ(matches("(?i:'s)", "'S'\u017f"), (Strings{"'S", "'\u017f"}));
  EXPECT_EQ(matches("x*", "axb"), (Strings{"", "x", ""}));
}

TEST(Regex, EscapesLiterals) {
  for (const std::string text : {".*+?[](){}|\\^$", "\u2581", "a b", "\xC3\xA1-", "#&~"}) {
    const std::vector<TextRange> found = Regex(Regex::escape(text), "test").matches("x" + text + "x");
    ASSERT_EQ(found.size(), 1u) << text;
    EXPECT_EQ(found[0].end - found[0].begin, text.size()) << text;
  }
}

TEST(Regex, RefusesWhatPcreReadsOtherwise) {
  for (const char* pattern : {"[a&&b]", "[a[bc]]", "a{1,3}+", "\\Ka", "(?x) a", "[\\W]", "(", "\\", "\\p{Nonsense}"}) {
    EXPECT_THROW(Regex(pattern, "test"), Error) << pattern;
  }
}

TEST(Regex, StopsWhenAPatternNeedsTooManySteps) {
  const Regex regex("(a|aa)+$b", "test");
  expect_error(ErrorKind::unsupported, "could not be applied",
               [&] { static_cast<void>(regex.matches(std::string(4000, 'a') + "cb")); });
}

TEST(Regions, CutWhereNoPieceLiesAcross) {
  Regions regions;
  regions.allow("\u2581ab");
  regions.allow("bc");
  const std::string_view text = "\u2581abc\u2581a";
  EXPECT_EQ(regions.end(text, 0), 6u);  // between "c" and the next "\u2581"
  EXPECT_EQ(regions.end(text, 6), text.size());
}

}  // namespace
}  // namespace qcqa::testing
