#include "text/portable_tokenizer.hpp"

#include <gtest/gtest.h>

#include "qcqa/text/tokenizer.hpp"
#include "support/temporary_folder.hpp"
#include "text/tokenizer_files.hpp"

namespace qcqa::testing {
namespace {

/// A folder whose class is that of Llama, which mistral's type does not take.
void write_llama(const TemporaryFolder& folder) {
  folder.write("tokenizer.model", sentencepiece_bytes(fallback_pieces(), 2, true));
  folder.write("config.json", R"({"model_type": "llama"})");
  folder.write("tokenizer_config.json",
               R"({"tokenizer_class": "LlamaTokenizer", "legacy": true, "add_bos_token": true, "eos_token": "</s>"})");
}

TEST(PortableTokenizer, GivesTheSameIdsBesideAModelOfAnotherType) {
  const TemporaryFolder source, target;
  write_llama(source);
  const auto files = tokenizer_beside(source.path(), "mistral");
  ASSERT_TRUE(files);
  target.write("config.json", R"({"model_type": "mistral"})");
  target.write("tokenizer.json", files->tokenizer.dump());
  target.write("tokenizer_config.json", files->config.dump());
  const Tokenizer before = Tokenizer::open(source.path()), after = Tokenizer::open(target.path());
  for (const char* text : {"ab a", "  ab", "a</s> b<s>", "\u2581ab", "\u00e9 A"}) {
    EXPECT_EQ(before.encode(text), after.encode(text)) << text;
  }
  EXPECT_EQ(after.special().frame.before, before.special().frame.before);
  EXPECT_EQ(after.special().eos, before.special().eos);
  EXPECT_EQ(after.vocabulary_size(), before.vocabulary_size());
}

TEST(PortableTokenizer, NothingIsWrittenAnewForTheSameClass) {
  const TemporaryFolder source;
  write_llama(source);
  EXPECT_FALSE(tokenizer_beside(source.path(), "another"));
}

}  // namespace
}  // namespace qcqa::testing
