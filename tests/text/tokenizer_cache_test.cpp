#include "text/tokenizer_cache.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "support/temporary_folder.hpp"
#include "text/tokenizer_files.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
using namespace testing;

/// A folder whose files were written a while ago.
class TokenizerCache : public ::testing::Test {
 protected:
  void SetUp() override {
    write("tokenizer.json", byte_level_json().dump());
    write("tokenizer_config.json", R"({"bos_token": "<|end|>"})");
  }
  void write(const char* name, const std::string& content) {
    age_ -= std::chrono::seconds(10);  // other than before
    fs::last_write_time(folder_.write(name, content), fs::file_time_type::clock::now() - std::chrono::hours(1) + age_);
  }

  TemporaryFolder folder_;
  std::chrono::seconds age_{};
};

TEST_F(TokenizerCache, IsReadOnce) {
  const auto first = described_tokenizer(folder_.path());
  EXPECT_EQ(described_tokenizer(folder_.path()), first);
  EXPECT_EQ(first->id_of("bos_token"), 260);
}

TEST_F(TokenizerCache, IsReadAgainWhenAFileChanges) {
  const auto first = described_tokenizer(folder_.path());
  write("tokenizer_config.json", R"({"eos_token": "<|end|>"})");  // as long as it was
  const auto second = described_tokenizer(folder_.path());
  EXPECT_NE(second, first);
  EXPECT_EQ(second->id_of("bos_token"), std::nullopt);
  EXPECT_EQ(second->id_of("eos_token"), 260);
  EXPECT_EQ(first->id_of("bos_token"), 260) << "who has it keeps it";
}

TEST_F(TokenizerCache, IsReadAgainWhenAFileComesOrGoes) {
  const auto first = described_tokenizer(folder_.path());
  write("added_tokens.json", R"({"<more>": 261})");
  EXPECT_EQ(described_tokenizer(folder_.path())->added.size(), first->added.size() + 1);
  fs::remove(folder_ / "added_tokens.json");
  EXPECT_EQ(described_tokenizer(folder_.path())->added.size(), first->added.size());
}

TEST_F(TokenizerCache, AnotherModelIsAnother) {
  const TemporaryFolder other;
  other.write("tokenizer.json", fallback_json().dump());
  EXPECT_NE(described_tokenizer(folder_.path())->words->count(), described_tokenizer(other.path())->words->count());
}

TEST_F(TokenizerCache, WhatWasWrittenJustNowIsNotTrusted) {
  folder_.write("tokenizer.json", byte_level_json().dump());
  EXPECT_NE(described_tokenizer(folder_.path()), described_tokenizer(folder_.path()));
}

TEST_F(TokenizerCache, MistakesAreNotKept) {
  write("tokenizer.json", "{}");
  EXPECT_ANY_THROW((void)described_tokenizer(folder_.path()));
  write("tokenizer.json", byte_level_json().dump());
  EXPECT_EQ(described_tokenizer(folder_.path())->id_of("bos_token"), 260);
}

}  // namespace
}  // namespace qcqa
