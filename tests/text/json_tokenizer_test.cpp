#include <random>

#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"
#include "text/tokenizer_files.hpp"

#include "qcqa/text/tokenizer.hpp"

namespace qcqa::testing {
namespace {

using Ids = std::vector<TokenId>;

Tokenizer opened(const nlohmann::json& document, const nlohmann::json& config = nullptr) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", document.dump());
  if (!config.is_null()) folder.write("tokenizer_config.json", config.dump());
  return Tokenizer::open(folder.path());
}

void expect_refused(const nlohmann::json& document, ErrorKind kind, const char* part) {
  expect_error(kind, part, [&] { static_cast<void>(opened(document)); });
}

TEST(JsonTokenizer, MergesTheEarliestLearnedPairFirst) {
  const Tokenizer tokenizer = opened(byte_level_json());
  EXPECT_EQ(tokenizer.encode(" the"), Ids{258});
  EXPECT_EQ(tokenizer.encode("the the"), (Ids{'t', 257, 258}));
  EXPECT_EQ(tokenizer.encode("lll"), (Ids{259, 'l'}));
}

TEST(JsonTokenizer, SpellsEveryByte) {
  const Tokenizer tokenizer = opened(byte_level_json());
  std::string text;
  for (char c = 0; c >= 0 && c < 127; ++c) text += c;
  text += "\u00e9\u4f60\U0001F600";
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(text)), text);
  EXPECT_EQ(tokenizer.encode("\u00e9"), (Ids{0xC3, 0xA9}));
}

TEST(JsonTokenizer, FindsSpecialTokensInTheTextAndLeavesThemOutOfDecodedText) {
  const Tokenizer tokenizer = opened(byte_level_json());
  EXPECT_EQ(tokenizer.encode("a<|end|>b"), (Ids{'a', 260, 'b'}));
  EXPECT_EQ(tokenizer.decode(Ids{'a', 260, 'b'}), "ab");
  EXPECT_EQ(tokenizer.vocabulary_size(), 261u);
}

TEST(JsonTokenizer, ByteTokenDoesNotShadowTheCharacter) {
  const Tokenizer tokenizer = opened(fallback_json());
  EXPECT_EQ(tokenizer.encode("A"), (Ids{259, 262}));        // not 3 + 0x41
  EXPECT_EQ(tokenizer.encode("\n"), (Ids{259, 3 + '\n'}));  // no piece: its byte
  EXPECT_EQ(tokenizer.encode("<0x41>").size(), 1 + 6u);     // the text of a byte token is text
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("ab a\u00e9")), "ab a\u00e9");
}

TEST(JsonTokenizer, TakesBosFromTheTemplateWhateverTheConfigurationSays) {
  const Tokenizer plain = opened(fallback_json());
  EXPECT_EQ(plain.special().bos, TokenId{1});
  EXPECT_EQ(plain.special().frame.before, Ids{1});
  EXPECT_TRUE(plain.special().eos.empty());
  const Tokenizer configured =
      opened(fallback_json(), {{"bos_token", "<s>"}, {"eos_token", {{"content", "</s>"}}}, {"add_bos_token", false}});
  EXPECT_EQ(configured.special().bos, TokenId{1});
  EXPECT_EQ(configured.special().frame.before, Ids{1});
  EXPECT_EQ(configured.special().eos, Ids{2});
}

TEST(JsonTokenizer, ReadsIdsOfSpecialTokensFromTheModelsConfiguration) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", byte_level_json().dump());
  folder.write("config.json", R"({"bos_token_id": 260, "eos_token_id": [260, 9, 100000]})");
  const Tokenizer tokenizer = Tokenizer::open(folder.path());
  EXPECT_EQ(tokenizer.special().bos, TokenId{260});
  EXPECT_EQ(tokenizer.special().eos, (Ids{9, 260}));
  EXPECT_TRUE(tokenizer.special().frame.before.empty());
}

TEST(JsonTokenizer, PrefersTokenizerJson) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", byte_level_json().dump());
  folder.write("tokenizer.model", sentencepiece_bytes(fallback_pieces(), 2, true));
  EXPECT_EQ(Tokenizer::open(folder.path()).source().filename(), "tokenizer.json");
}

TEST(JsonTokenizer, NamesWhatItDoesNotSupport) {
  nlohmann::json document = byte_level_json();
  document["model"]["type"] = "Phonetic";
  expect_refused(document, ErrorKind::unsupported, "tokenizer.json: model: model type \"Phonetic\" is not supported");
  document = byte_level_json();
  document["normalizer"] = {{"type", "Rot13"}};
  expect_refused(document, ErrorKind::unsupported, "normalizer \"Rot13\" is not supported");
  expect_refused(document, ErrorKind::unsupported, "--token-ids FILE");
  document = byte_level_json();
  document["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", {{{"type", "UnicodeScripts"}}}}};
  expect_refused(document, ErrorKind::unsupported, "pre_tokenizer.pretokenizers[0]: pre_tokenizer \"UnicodeScripts\"");
  document = byte_level_json();
  document["decoder"] = {{"type", "CTC"}};
  expect_refused(document, ErrorKind::unsupported, "decoder \"CTC\"");
  document = byte_level_json();
  document["model"]["dropout"] = 0.1;
  expect_refused(document, ErrorKind::unsupported, "dropout");
}

TEST(JsonTokenizer, RefusesWhatDoesNotFitTogether) {
  nlohmann::json document = byte_level_json();
  document["model"]["merges"].push_back("l nowhere");
  expect_refused(document, ErrorKind::corrupt, "merge 4 must be of tokens in the vocabulary; found \"nowhere\"");
  document = byte_level_json();
  document["model"]["vocab"]["x"] = -1;
  expect_refused(document, ErrorKind::corrupt, "must be an integer from 0 to");
  document = byte_level_json();
  document["model"]["vocab"]["x"] = 4'000'000'000;
  expect_refused(document, ErrorKind::corrupt, "must be an integer from 0 to");
  document = byte_level_json();
  expect_refused(nlohmann::json::array(), ErrorKind::corrupt, "tokenizer.json: must be an object; found array");
  document["model"].erase("vocab");
  expect_refused(document, ErrorKind::corrupt, "must have a member \"vocab\"");
}

TEST(JsonTokenizer, RefusesMalformedJson) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", "{\"model\": ");
  expect_error(ErrorKind::corrupt, "tokenizer.json: must be valid JSON", [&] { (void)Tokenizer::open(folder.path()); });
}

TEST(JsonTokenizer, RefusesAFolderWithoutTokenizer) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::not_found, "must have a tokenizer.json, a tokenizer.model, or vocab.json",
               [&] { (void)Tokenizer::open(folder.path()); });
}

TEST(JsonTokenizer, RefusesNestingWithoutEnd) {
  std::string steps, ends;
  for (int depth = 0; depth < 50'000; ++depth) {
    steps += R"({"type":"Sequence","normalizers":[)";
    ends += "]}";
  }
  steps += R"({"type":"Lowercase"})" + ends;
  std::string text = byte_level_json().dump();
  text.replace(text.find(R"("normalizer":null)"), 17, "\"normalizer\":" + steps);
  const TemporaryFolder folder;
  folder.write("tokenizer.json", text);
  expect_error(ErrorKind::corrupt, "tokenizer.json: must not be nested too deeply (1000 levels); found 100002",
               [&] { (void)Tokenizer::open(folder.path()); });
}

TEST(JsonTokenizer, RefusesIdsOutOfRangeAndTextThatIsNotUtf8) {
  const Tokenizer tokenizer = opened(byte_level_json());
  expect_error(ErrorKind::invalid_argument, "token ids go from 0 to 260; found 261",
               [&] { static_cast<void>(tokenizer.decode(Ids{261})); });
  expect_error(ErrorKind::invalid_argument, "found -1", [&] { static_cast<void>(tokenizer.decode(Ids{-1})); });
  expect_error(ErrorKind::invalid_argument, "byte 1", [&] { static_cast<void>(tokenizer.encode("a\xFF")); });
}

TEST(JsonTokenizer, SurvivesEveryByteFlip) {
  for (const nlohmann::json& document : {byte_level_json(), fallback_json()}) {
    const std::string good = document.dump();
    const TemporaryFolder folder;
    std::mt19937 random(5);
    for (int round = 0; round < 1500; ++round) {
      std::string bad = good;
      // Half of the flips outside the vocabulary, which is most of the file.
      const std::size_t vocabulary = good.find("\"vocab\"");
      const std::size_t place = round % 2 == 0 ? random() % vocabulary : random() % good.size();
      bad[place] = static_cast<char>(bad[place] ^ (1 << random() % 8));
      folder.write("tokenizer.json", bad);
      try {
        const Tokenizer tokenizer = Tokenizer::open(folder.path());
        const Ids ids = tokenizer.encode("Hello the world <s> a\u0301b \U0001F600\n\n 12");
        for (const TokenId id : ids) EXPECT_TRUE(id >= 0 && id < static_cast<TokenId>(tokenizer.vocabulary_size()));
        static_cast<void>(tokenizer.decode(ids));
      } catch (const Error& error) {
        EXPECT_NE(error.kind(), ErrorKind::internal) << error.what();
      }
    }
  }
}

}  // namespace
}  // namespace qcqa::testing
