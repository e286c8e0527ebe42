#include "text/json/word_model.hpp"

#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "text/base64.hpp"

namespace qcqa::testing {
namespace {

using Ids = std::vector<TokenId>;
using Json = nlohmann::json;

Ids encode(const Json& description, std::string_view word) {
  Ids ids;
  make_word_model(tokenizer_view(description, "model"))->encode(word, ids);
  return ids;
}

Json unigram() {
  Json vocabulary = Json::array();
  const std::pair<const char*, double> pieces[] = {{"<unk>", 0}, {"a", -2},      {"b", -2},
                                                   {"ab", -3},   {"<0xC3>", -9}, {"<0xA9>", -9}};
  for (const auto& [piece, score] : pieces) vocabulary.push_back(Json::array({piece, score}));
  return {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", std::move(vocabulary)}};
}

TEST(Unigram, TakesTheMostProbablePath) {
  EXPECT_EQ(encode(unigram(), "abb"), (Ids{3, 2}));
  Json rare = unigram();
  rare["vocab"][3][1] = -5.0;
  EXPECT_EQ(encode(rare, "abb"), (Ids{1, 2, 2}));
}

TEST(Unigram, ARunOfUnknownCharactersIsOneToken) { EXPECT_EQ(encode(unigram(), "axyb"), (Ids{1, 0, 2})); }

TEST(Unigram, BytesSpellWhatIsUnknown) {
  Json description = unigram();
  description["byte_fallback"] = true;
  EXPECT_EQ(encode(description, "a\u00e9"), (Ids{1, 4, 5}));
  EXPECT_EQ(encode(description, "ax"), (Ids{1, 0})) << "no token for this byte";
}

TEST(Unigram, NeedsScores) {
  Json description = unigram();
  description["vocab"][1] = Json::array({"a"});
  expect_error(ErrorKind::corrupt, "must be a token and its score", [&] { (void)encode(description, "a"); });
  description = unigram();
  description["unk_id"] = 6;
  expect_error(ErrorKind::corrupt, "must be an integer from 0 to 5", [&] { (void)encode(description, "a"); });
}

Json word_piece() {
  return {{"type", "WordPiece"},
          {"unk_token", "[UNK]"},
          {"continuing_subword_prefix", "##"},
          {"max_input_chars_per_word", 5},
          {"vocab", {{"[UNK]", 0}, {"a", 1}, {"ab", 2}, {"##b", 3}, {"##bc", 4}}}};
}

TEST(WordPiece, TakesTheLongestTokenFromTheLeft) {
  EXPECT_EQ(encode(word_piece(), "abb"), (Ids{2, 3}));
  EXPECT_EQ(encode(word_piece(), "abbc"), (Ids{2, 4}));
}

TEST(WordPiece, AWordThatCannotBeSpelledIsUnknownAsAWhole) {
  EXPECT_EQ(encode(word_piece(), "abx"), Ids{0});
  EXPECT_EQ(encode(word_piece(), "abbbbb"), Ids{0}) << "too long";
}

TEST(WordLevel, AWordIsATokenOrUnknown) {
  const Json description = {{"type", "WordLevel"}, {"unk_token", "?"}, {"vocab", {{"?", 0}, {"a", 1}}}};
  EXPECT_EQ(encode(description, "a"), Ids{1});
  EXPECT_EQ(encode(description, "b"), Ids{0});
}

TEST(Base64, GoesBothWays) {
  for (const std::string text : {"", "f", "fo", "foo", "foob", "\xFF\x00\x7F"}) {
    EXPECT_EQ(bytes_of_base64(base64_of_bytes(text)), text);
  }
  EXPECT_EQ(base64_of_bytes("foob"), "Zm9vYg==");
  EXPECT_FALSE(bytes_of_base64("Zm9"));
  EXPECT_FALSE(bytes_of_base64("Z*9v"));
}

}  // namespace
}  // namespace qcqa::testing
