#include "qcqa/text/corpus.hpp"

#include <numeric>

#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"
#include "text/tokenizer_files.hpp"

namespace qcqa::testing {
namespace {

using Ids = std::vector<TokenId>;

/// A folder with the fallback tokenizer (every byte but a, b, A and the space is a token of its own), and texts.
class CorpusTest : public ::testing::Test {
 protected:
  CorpusTest() : tokenizer_(open(folder_)) {}

  Corpus read(const char* name, const std::string& content, const CorpusOptions& options = {}) const {
    return read_corpus(folder_.write(name, content), tokenizer_, options);
  }
  Corpus read_ids(const std::string& content, const CorpusOptions& options = {}) const {
    return read_token_ids(folder_.write("ids.txt", content), 100, options);
  }
  void expect_refused(ErrorKind kind, const char* part, const char* name, const std::string& content) const {
    expect_error(kind, part, [&] { static_cast<void>(read(name, content)); });
  }

  TemporaryFolder folder_;
  Tokenizer tokenizer_;

 private:
  static Tokenizer open(const TemporaryFolder& folder) {
    folder.write("tokenizer.json", fallback_json().dump());
    return Tokenizer::open(folder.path());
  }
};

TEST_F(CorpusTest, JsonLinesAreDocuments) {
  const Corpus corpus =
      read("a.jsonl", "{\"text\": \"ab\"}\n\n  \n{\"text\": \"\"}\n{\"id\": 1, \"text\": \"aA\"}\r\n");
  ASSERT_EQ(corpus.documents.size(), 2u);  // the empty one has nothing to predict
  EXPECT_EQ(corpus.documents[0].ids, (Ids{1, 265}));
  EXPECT_EQ(corpus.documents[1].ids, (Ids{1, 263, 262}));
  EXPECT_EQ(corpus.documents[1].name, (folder_ / "a.jsonl").string() + ", line 5");
  EXPECT_EQ(corpus.targets, 3u);
  EXPECT_TRUE(corpus.has_bos);
}

TEST_F(CorpusTest, JsonLineErrorsNameTheLine) {
  expect_refused(ErrorKind::corrupt, "a.jsonl, line 2: must be JSON", "a.jsonl", "{\"text\": \"a\"}\n{\"text\": \n");
  expect_refused(ErrorKind::corrupt, "a.jsonl, line 1: must have a member \"text\"", "a.jsonl", "{\"story\": \"a\"}");
  expect_refused(ErrorKind::corrupt, "line 1: \"text\" must be a string; found number", "a.jsonl", "{\"text\": 1}");
  expect_refused(ErrorKind::corrupt, "line 1: must be a JSON object; found array", "a.jsonl", "[1]");
  expect_refused(ErrorKind::corrupt, "line 1: must be JSON", "a.jsonl", R"({"text": "\ud800"})");
  expect_refused(ErrorKind::corrupt, "last read: '\"a\uFFFD'", "a.jsonl", "{\"text\": \"a\xFF\"}");
}

TEST_F(CorpusTest, PlainTextIsOneDocument) {
  const Corpus corpus = read("a.txt", "ab\nab\n");
  ASSERT_EQ(corpus.documents.size(), 1u);
  EXPECT_EQ(corpus.documents[0].ids, (Ids{1, 265, 3 + '\n', 264, 3 + '\n'}));
  expect_refused(ErrorKind::corrupt, "a.txt: must be UTF-8 text; found something else at byte 1", "a.txt", "a\xFF");
  expect_refused(ErrorKind::unsupported, "text is read from .jsonl, .txt, .md or a folder", "a.parquet", "PAR1");
  expect_refused(ErrorKind::invalid_argument, "must have text to predict", "a.txt", "");
}

TEST_F(CorpusTest, AByteOrderMarkIsNoText) {
  EXPECT_EQ(read("a.txt",
                 "\xEF\xBB\xBF"
                 "ab")
                .documents[0]
                .ids,
            (Ids{1, 265}));
  EXPECT_EQ(read("a.jsonl",
                 "\xEF\xBB\xBF"
                 "{\"text\": \"ab\"}")
                .documents[0]
                .ids,
            (Ids{1, 265}));
}

TEST_F(CorpusTest, DocumentsEndAsTheTokenizerEndsThemUnlessTheyAreCut) {
  nlohmann::json document = fallback_json();
  document["post_processor"] = {{"type", "RobertaProcessing"}, {"cls", {"<s>", 1}}, {"sep", {"</s>", 2}}};
  folder_.write("tokenizer.json", document.dump());
  const Tokenizer tokenizer = Tokenizer::open(folder_.path());
  folder_.write("a.txt", "ab");
  const Corpus corpus = read_corpus(folder_ / "a.txt", tokenizer, {});
  EXPECT_EQ(corpus.documents[0].ids, (Ids{1, 265, 2}));
  EXPECT_TRUE(corpus.has_eos);
  folder_.write("a.txt", std::string(100, 'A'));
  CorpusOptions options;
  options.max_tokens = 1;
  EXPECT_NE(read_corpus(folder_ / "a.txt", tokenizer, options).documents[0].ids.back(), 2);
}

TEST_F(CorpusTest, FolderHasADocumentPerFile) {
  const TemporaryFolder texts;
  texts.write("b.txt", "b");
  texts.write("a.txt", "a");
  texts.write(".hidden", "\xFF");
  const Corpus corpus = read_corpus(texts.path(), tokenizer_, {});
  ASSERT_EQ(corpus.documents.size(), 2u);
  EXPECT_EQ(corpus.documents[0].name, (texts / "a.txt").string());
  EXPECT_EQ(corpus.documents[1].ids, (Ids{1, 259, 261}));
}

TEST_F(CorpusTest, MissingFileAndEmptyFolderAreNotFound) {
  expect_error(ErrorKind::not_found, "no such file", [&] { (void)read_corpus(folder_ / "no.txt", tokenizer_, {}); });
  expect_error(ErrorKind::not_found, "no such file", [&] { (void)read_corpus(folder_ / "no.jsonl", tokenizer_, {}); });
  const TemporaryFolder empty;
  expect_error(ErrorKind::not_found, "must have files", [&] { (void)read_corpus(empty.path(), tokenizer_, {}); });
}

TEST_F(CorpusTest, BosRule) {
  CorpusOptions options;
  options.bos = BosRule::never;
  EXPECT_EQ(read("a.txt", "abA", options).documents[0].ids, (Ids{265, 262}));
  nlohmann::json document = fallback_json();
  document["post_processor"] = nullptr;
  folder_.write("tokenizer.json", document.dump());
  folder_.write("tokenizer_config.json", R"({"bos_token": "<s>"})");
  const Tokenizer without = Tokenizer::open(folder_.path());
  EXPECT_FALSE(read_corpus(folder_ / "a.txt", without, {}).has_bos);
  options.bos = BosRule::always;
  EXPECT_EQ(read_corpus(folder_ / "a.txt", without, options).documents[0].ids[0], 1);
}

TEST_F(CorpusTest, LimitsAreExact) {
  CorpusOptions options;
  options.max_documents = 2;
  const std::string lines = "{\"text\": \"ab\"}\n{\"text\": \"abA\"}\n{\"text\": \"broken\n";
  EXPECT_EQ(read("a.jsonl", lines, options).targets, 3u);  // the third is not even read
  options = {};
  options.max_tokens = 2;
  const Corpus corpus = read("a.jsonl", lines, options);
  EXPECT_EQ(corpus.targets, 2u);
  EXPECT_EQ(corpus.ids(corpus.windows.back()).size(), 2u);
}

TEST_F(CorpusTest, FewTokensOfALargeTextAreTheFirstOnes) {
  std::string text;
  for (int i = 0; i < 100'000; ++i) text += "ab a ";
  CorpusOptions options;
  options.max_tokens = 100;
  const Corpus part = read("a.txt", text, options), whole = read("a.txt", text);
  EXPECT_EQ(part.targets, 100u);
  EXPECT_LT(part.documents[0].ids.size(), 10'000u);
  EXPECT_TRUE(
      std::equal(part.documents[0].ids.begin(), part.documents[0].ids.begin() + 101, whole.documents[0].ids.begin()));
}

TEST_F(CorpusTest, TextIsCutAtACharacterWhenFewTokensAreWanted) {
  CorpusOptions options;
  options.max_tokens = 1;  // 64 bytes, in the middle of a character
  std::string text(63, 'a');
  for (int i = 0; i < 30; ++i) text += "\u4f60";
  EXPECT_EQ(read("a.txt", text, options).documents[0].ids.size(), 2u + 62u);  // "\u2581a" is one token
  EXPECT_EQ(read("a.jsonl", nlohmann::json{{"text", text}}.dump(), options).documents[0].ids.size(), 2u + 62u);
}

TEST_F(CorpusTest, DocumentsHaveABoundedSize) {
  DocumentLimits limits;
  limits.bytes = 10;
  const auto file = folder_.write("a.txt", std::string(11, 'a'));
  const auto read_all = [&] { for_each_document(file, limits, [](Document&&) { return true; }); };
  expect_error(ErrorKind::unsupported, "a.txt: a document has at most 10 bytes", read_all);
  limits.wanted = 5;
  read_all();
}

TEST_F(CorpusTest, LongLinesAreReadInPieces) {
  for (const std::size_t size : {16'382, 16'383, 16'384, 16'385, 50'000}) {
    const std::string text(size, 'A'), line = R"({"text": ")" + text + "\"}";
    const Corpus corpus = read("a.jsonl", line + "\n" + line);
    ASSERT_EQ(corpus.documents.size(), 2u);
    for (const TokenDocument& document : corpus.documents) EXPECT_EQ(document.ids.size(), size + 2);
  }
}

TEST_F(CorpusTest, TokenIdsComeInTwoSpellings) {
  const Corpus corpus = read_ids("[1, 2, 3]\n\n 4 5\t99 \r\n");
  ASSERT_EQ(corpus.documents.size(), 2u);
  EXPECT_EQ(corpus.documents[0].ids, (Ids{1, 2, 3}));
  EXPECT_EQ(corpus.documents[1].ids, (Ids{4, 5, 99}));
}

TEST_F(CorpusTest, TokenIdErrorsNameTheLine) {
  for (const char* bad : {"1 2\n3 100\n", "1 2\n[3, 100]", "1 2\n-1 3", "1 2\n[-1]", "1 2\n3 x", "1 2\n[3",
                          "1 2\n[\"3\"]", "1 2\n3 4.5", "1 2\n{\"a\": [1]}", "1 2\n99999999999999999999 1"}) {
    expect_error(ErrorKind::corrupt, "line 2: must be token ids, integers from 0 to 99",
                 [&] { static_cast<void>(read_ids(bad)); });
  }
}

TEST(SharedCorpus, PredictsAsManyTokensAsTheFactsSay) {
  const std::filesystem::path shared = QCQA_SHARED_DIR;
  if (!std::filesystem::exists(shared / "data/tinystories_dev.jsonl")) GTEST_SKIP() << "no data in " << shared;
  CorpusOptions options;
  options.max_documents = 120;
  options.windows.context = 256;
  options.windows.long_documents = LongDocuments::truncate;
  const Tokenizer tokenizer = Tokenizer::open(shared / "models/stories15M");
  const Corpus corpus = read_corpus(shared / "data/tinystories_dev.jsonl", tokenizer, options);
  EXPECT_EQ(corpus.documents.size(), 120u);
  EXPECT_EQ(corpus.windows.size(), 120u);
  EXPECT_EQ(corpus.targets, 23'269u);
}

}  // namespace
}  // namespace qcqa::testing
