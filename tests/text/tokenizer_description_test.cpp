#include "text/tokenizer_description.hpp"

#include <gtest/gtest.h>

#include "qcqa/text/tokenizer.hpp"
#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"
#include "text/chat_templates.hpp"
#include "text/tokenizer_files.hpp"

namespace qcqa::testing {
namespace {

using Ids = std::vector<TokenId>;
using Json = nlohmann::json;

// The right values of these are those of transformers: tests/interop/test_tokenizers.py.

Json special(const char* content) {
  return {{"content", content}, {"special", true}, {"normalized", false}, {"lstrip", false}, {"rstrip", false}};
}

TEST(TokenizerDescription, AddedTokensTakeTheNextIdsWhateverAFileNames) {
  const TemporaryFolder folder;
  Json document = byte_level_json();
  Json far = special("<far>");
  far["id"] = 900;
  document["added_tokens"].push_back(far);
  folder.write("tokenizer.json", document.dump());
  EXPECT_EQ(Tokenizer::open(folder.path()).encode("a<far>"), (Ids{'a', 261}));
  EXPECT_EQ(Tokenizer::open(folder.path()).vocabulary_size(), 262u);
}

TEST(TokenizerDescription, ReadsTheAddedTokensOfTheConfiguration) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", byte_level_json().dump());
  folder.write("tokenizer_config.json", Json{{"added_tokens_decoder", {{"261", special("<|im_end|>")}}}}.dump());
  EXPECT_EQ(Tokenizer::open(folder.path()).encode("a<|im_end|>"), (Ids{'a', 261}));
}

TEST(TokenizerDescription, ReadsAddedTokensJsonUnlessTheConfigurationListsAddedTokens) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", byte_level_json().dump());
  folder.write("added_tokens.json", R"({"<tool>": 261})");
  EXPECT_EQ(Tokenizer::open(folder.path()).encode("<tool>"), Ids{261});
  folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {}})");
  EXPECT_GT(Tokenizer::open(folder.path()).encode("<tool>").size(), 1u);
}

TEST(TokenizerDescription, NamedSpecialTokensAreFoundInAText) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", byte_level_json().dump());
  folder.write("special_tokens_map.json",
               R"({"pad_token": {"content": "<pad>"}, "additional_special_tokens": ["<x>"]})");
  EXPECT_EQ(Tokenizer::open(folder.path()).encode("<pad><x>"), (Ids{261, 262}));
}

TEST(TokenizerDescription, SpecialTokensAreTextWhereTheConfigurationSaysSo) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", byte_level_json().dump());
  folder.write("tokenizer_config.json", R"({"split_special_tokens": true})");
  EXPECT_EQ(Tokenizer::open(folder.path()).encode("<|end|>").size(), 7u);
}

TEST(TokenizerDescription, TheClassOfTheModelsTypeReplacesTheSteps) {
  const TemporaryFolder folder;
  Json document = byte_level_json();
  document["normalizer"] = {{"type", "Lowercase"}};
  folder.write("tokenizer.json", document.dump());
  EXPECT_EQ(Tokenizer::open(folder.path()).encode("A"), Ids{'a'});
  folder.write("config.json", R"({"model_type": "qwen3"})");
  EXPECT_EQ(Tokenizer::open(folder.path()).encode("A"), Ids{'A'});
}

TEST(TokenizerDescription, ReadsVocabularyAndMerges) {
  const TemporaryFolder folder;
  const Json model = byte_level_json()["model"];
  std::string merges = "#version: 0.2\n";
  for (const Json& merge : model["merges"]) merges += merge.get<std::string>() + "\n";
  folder.write("vocab.json", model["vocab"].dump());
  folder.write("merges.txt", merges);
  folder.write("config.json", R"({"model_type": "starcoder2"})");
  const Tokenizer tokenizer = Tokenizer::open(folder.path());
  EXPECT_EQ(tokenizer.encode(" the<|endoftext|>"), (Ids{258, 260}));
  EXPECT_EQ(tokenizer.special().eos, Ids{260});
  folder.write("config.json", R"({"model_type": "llama"})");
  expect_error(ErrorKind::unsupported, "Name the class that reads them", [&] { (void)Tokenizer::open(folder.path()); });
  folder.write("config.json", R"({"model_type": "llama", "tokenizer_class": "GPT2Tokenizer"})");
  EXPECT_EQ(Tokenizer::open(folder.path()).encode(" the"), Ids{258});
}

TEST(TokenizerDescription, MergesNeedTwoTokens) {
  const TemporaryFolder folder;
  folder.write("vocab.json", byte_level_json()["model"]["vocab"].dump());
  folder.write("merges.txt", "h e\nl l l\n");
  folder.write("config.json", R"({"model_type": "starcoder2"})");
  expect_error(ErrorKind::corrupt, "merges.txt, line 2: must be two tokens",
               [&] { (void)Tokenizer::open(folder.path()); });
}

TEST(TokenizerDescription, APieceModelIsReadAsTransformersDoesAndSaysSo) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", sentencepiece_bytes(fallback_pieces(), 2, true));
  const Tokenizer tokenizer = Tokenizer::open(folder.path());
  EXPECT_EQ(tokenizer.encode("ab</s>"), (Ids{265, 2}));
  EXPECT_TRUE(tokenizer.special().frame.before.empty()) << "no file says add_bos_token";
  ASSERT_EQ(tokenizer.notes().size(), 1u);
  EXPECT_NE(tokenizer.notes()[0].find("--tokenizer sentencepiece"), std::string::npos);
  EXPECT_GT(Tokenizer::open(folder.path(), TokenizerKind::sentencepiece).encode("ab</s>").size(), 2u);
  folder.write("tokenizer_config.json", R"({"add_bos_token": true, "add_eos_token": true})");
  const TextFrame frame = Tokenizer::open(folder.path()).special().frame;
  EXPECT_EQ(frame.before, Ids{1});
  EXPECT_EQ(frame.after, Ids{2});
}

TEST(TokenizerDescription, APieceModelOfAClassWithOtherStepsIsRefused) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", sentencepiece_bytes(fallback_pieces(), 2, true));
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "XLMRobertaTokenizer"})");
  expect_error(ErrorKind::unsupported, "found XLMRobertaTokenizer", [&] { (void)Tokenizer::open(folder.path()); });
}

TEST(TokenizerDescription, ADanglingLinkIsCalledSo) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("../../blobs/0123", folder / "tokenizer.json");
  EXPECT_TRUE(has_tokenizer(folder.path()));
  expect_error(ErrorKind::not_found, "tokenizer.json: is a link to a file that is not there; found ../../blobs/0123",
               [&] { (void)Tokenizer::open(folder.path()); });
}

TEST(TokenizerDescription, ABrokenGenerationConfigIsANote) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", byte_level_json().dump());
  folder.write("generation_config.json", "{\"eos_token_id\": ");
  const Tokenizer tokenizer = Tokenizer::open(folder.path());
  ASSERT_EQ(tokenizer.notes().size(), 1u);
  EXPECT_NE(tokenizer.notes()[0].find("generation_config.json"), std::string::npos);
}

TEST(TokenizerDescription, SpecialTokensMapIsNotReadWhereItDoesNotCount) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", byte_level_json().dump());
  folder.write("special_tokens_map.json", "{");
  expect_error(ErrorKind::corrupt, "special_tokens_map.json", [&] { (void)Tokenizer::open(folder.path()); });
  folder.write("tokenizer_config.json", R"({"added_tokens_decoder": {}})");
  EXPECT_EQ(Tokenizer::open(folder.path()).encode("a"), Ids{'a'});
}

TEST(ChatTemplates, FilesComeBeforeTheConfiguration) {
  const TemporaryFolder folder;
  const Json config = {
      {"chat_template", {{{"name", "default"}, {"template", "D"}}, {{"name", "rag"}, {"template", "R"}}}}};
  auto templates = read_chat_templates(folder.path(), config);
  ASSERT_EQ(templates.size(), 2u);
  EXPECT_EQ(templates[1].name, "rag");
  std::filesystem::create_directory(folder / kMoreTemplates);
  folder.write("additional_chat_templates/tool_use.jinja", "TOOL");
  folder.write("chat_template.jinja", "MAIN");
  templates = read_chat_templates(folder.path(), config);
  ASSERT_EQ(templates.size(), 2u);
  EXPECT_EQ(templates[0].text, "MAIN");
  EXPECT_EQ(templates[1].name, "tool_use");
}

}  // namespace
}  // namespace qcqa::testing
