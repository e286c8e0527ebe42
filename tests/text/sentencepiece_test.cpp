#include <fstream>
#include <random>
#include <sstream>

#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"
#include "text/tokenizer_files.hpp"

#include "qcqa/text/tokenizer.hpp"

namespace qcqa::testing {
namespace {

using Ids = std::vector<TokenId>;

constexpr int kUnigram = 1, kBpe = 2;

Tokenizer open_sentencepiece(const std::string& model) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", model);
  return Tokenizer::open(folder.path(), TokenizerKind::sentencepiece);
}

TEST(SentencePiece, JoinsTheBestPairFirst) {
  const Tokenizer tokenizer = open_sentencepiece(sentencepiece_bytes(fallback_pieces(), kBpe, true));
  EXPECT_EQ(tokenizer.encode("ab"), Ids{265});  // "\u2581a" scores best, then "\u2581ab"
  EXPECT_EQ(tokenizer.encode("bab"), (Ids{259, 261, 264}));
  EXPECT_EQ(tokenizer.encode(""), Ids{});
}

TEST(SentencePiece, ByteTokenDoesNotShadowTheCharacter) {
  const Tokenizer tokenizer = open_sentencepiece(sentencepiece_bytes(fallback_pieces(), kBpe, true));
  EXPECT_EQ(tokenizer.encode("A"), (Ids{259, 262}));
  EXPECT_EQ(tokenizer.encode("\n"), (Ids{259, 3 + '\n'}));
  EXPECT_EQ(tokenizer.encode("<0x41>").size(), 1 + 6u);
  EXPECT_EQ(tokenizer.encode("<s>").size(), 1 + 3u);  // control tokens are not in texts
}

TEST(SentencePiece, DecodesBytesSpacesAndControlTokens) {
  const Tokenizer tokenizer = open_sentencepiece(sentencepiece_bytes(fallback_pieces(), kBpe, true));
  EXPECT_EQ(tokenizer.decode(Ids{1, 265, 259, 259, 260, 2}), "ab  a");
  EXPECT_EQ(tokenizer.decode(Ids{3 + 0xC3, 3 + 0xA9}), "\u00e9");
  EXPECT_EQ(tokenizer.decode(Ids{3 + 0xC3, 260, 3 + 0xA9}), "\uFFFDa\uFFFD");
  EXPECT_EQ(tokenizer.decode(Ids{0}), " \u2047 ");
}

TEST(SentencePiece, FindsTheMostProbableSegmentation) {
  const Tokenizer tokenizer = open_sentencepiece(sentencepiece_bytes(fallback_pieces(), kUnigram, true));
  EXPECT_EQ(tokenizer.encode("ab"), Ids{265});          // -3 beats -1 - 10 and -10 - 2
  EXPECT_EQ(tokenizer.encode("aab"), (Ids{263, 264}));  // -1 - 2
}

TEST(SentencePiece, RunOfUnknownCharactersIsOneToken) {
  std::vector<PicoPiece> pieces = fallback_pieces();
  pieces.erase(pieces.begin() + 3, pieces.begin() + 259);
  const Tokenizer tokenizer = open_sentencepiece(sentencepiece_bytes(pieces, kBpe, false));
  EXPECT_EQ(tokenizer.encode("xyza"), (Ids{3, 0, 4}));
}

TEST(SentencePiece, UserDefinedPieceIsNeverTakenApart) {
  std::vector<PicoPiece> pieces = fallback_pieces();
  pieces.push_back({"bb", 0, 4});
  const auto id = static_cast<TokenId>(pieces.size() - 1);
  for (const int algorithm : {kUnigram, kBpe}) {
    const Tokenizer tokenizer = open_sentencepiece(sentencepiece_bytes(pieces, algorithm, true));
    EXPECT_EQ(tokenizer.encode("abb"), (Ids{263, id})) << algorithm;
  }
}

TEST(SentencePiece, UnusedPieceIsAStepOnly) {
  std::vector<PicoPiece> pieces = fallback_pieces();
  pieces[265].kind = 5;
  EXPECT_EQ(open_sentencepiece(sentencepiece_bytes(pieces, kBpe, true)).encode("ab"), (Ids{263, 261}));
}

TEST(SentencePiece, KnowsItsSpecialTokens) {
  const Tokenizer tokenizer = open_sentencepiece(sentencepiece_bytes(fallback_pieces(), kBpe, true));
  EXPECT_EQ(tokenizer.special().bos, TokenId{1});
  EXPECT_EQ(tokenizer.special().eos, Ids{2});
  EXPECT_EQ(tokenizer.special().frame.before, Ids{1});
  EXPECT_TRUE(tokenizer.special().frame.after.empty());
}

TEST(SentencePiece, RefusesBrokenModels) {
  const auto expect_refused = [](const std::string& model, ErrorKind kind, const char* part) {
    expect_error(kind, part, [&] { static_cast<void>(open_sentencepiece(model)); });
  };
  expect_refused("", ErrorKind::corrupt, "must have pieces");
  expect_refused("version https://git-lfs.github.com/spec/v1\n", ErrorKind::corrupt, "git lfs pull");
  expect_refused("not a model", ErrorKind::corrupt, "must be a SentencePiece model");
  const std::string good = sentencepiece_bytes(fallback_pieces(), kBpe, true);
  expect_refused(good.substr(0, good.size() - 1), ErrorKind::corrupt, "a field that goes beyond the end");
  expect_refused(sentencepiece_bytes(fallback_pieces(), 4, true), ErrorKind::unsupported, "model type 4");
  std::vector<PicoPiece> pieces = fallback_pieces();
  pieces.push_back({"ab", 0, 1});
  expect_refused(sentencepiece_bytes(pieces, kBpe, true), ErrorKind::corrupt, "a piece is there once; found \"ab\"");
  pieces = fallback_pieces();
  pieces.erase(pieces.begin() + 3);
  expect_refused(sentencepiece_bytes(pieces, kBpe, true), ErrorKind::corrupt, "none for <0x00>");
}

TEST(SentencePiece, ATiktokenFileIsCalledSo) {
  expect_error(ErrorKind::unsupported, "a tiktoken vocabulary",
               [] { static_cast<void>(open_sentencepiece("IQ== 0\nIg== 1\n")); });
}

TEST(SentencePiece, SurvivesEveryByteFlip) {
  const std::string good = sentencepiece_bytes(fallback_pieces(), kBpe, true);
  const TemporaryFolder folder;
  std::mt19937 random(6);
  for (int round = 0; round < 3000; ++round) {
    std::string bad = good;
    const std::size_t tail = std::min<std::size_t>(good.size(), 120);  // the settings are at the end
    const std::size_t place = round % 2 == 0 ? good.size() - 1 - random() % tail : random() % good.size();
    bad[place] = static_cast<char>(bad[place] ^ (1 << random() % 8));
    folder.write("tokenizer.model", bad);
    try {
      const auto kind = round % 4 < 2 ? TokenizerKind::sentencepiece : TokenizerKind::transformers;
      const Tokenizer tokenizer = Tokenizer::open(folder.path(), kind);
      const Ids ids = tokenizer.encode("ab  A\u00e9 \U0001F600\n");
      for (const TokenId id : ids) EXPECT_TRUE(id >= 0 && id < static_cast<TokenId>(tokenizer.vocabulary_size()));
      static_cast<void>(tokenizer.decode(ids));
    } catch (const Error& error) {
      EXPECT_NE(error.kind(), ErrorKind::internal) << error.what();
    }
  }
}

TEST(SentencePiece, EncodesTheSharedModelsWords) {
  const std::filesystem::path folder = std::filesystem::path(QCQA_SHARED_DIR) / "models/stories15M";
  if (!std::filesystem::exists(folder))
    GTEST_SKIP() << "no models/stories15M in QCQA_SHARED_DIR (" << QCQA_SHARED_DIR << ")";
  const Tokenizer tokenizer = Tokenizer::open(folder);
  EXPECT_EQ(tokenizer.encode("Once upon a time"), (Ids{9038, 2501, 263, 931}));  // as the SentencePiece library
  EXPECT_EQ(tokenizer.vocabulary_size(), 32000u);
}

}  // namespace
}  // namespace qcqa::testing
