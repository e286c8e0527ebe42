#pragma once

#include <string>

#include "text/json/word_model.hpp"

namespace qcqa {

/// BERT's WordPiece (Devlin et al. 2019, arXiv 1810.04805; the algorithm is that of its published tokenizer): from the
/// left, always the longest token that fits; a word that cannot be spelled so is unknown as a whole.
class WordPiece final : public WordModel {
 public:
  /// @throws Error(corrupt)
  explicit WordPiece(const JsonView& description);

  void encode(std::string_view word, std::vector<TokenId>& ids) const override;
  [[nodiscard]] const StringMap<TokenId>& vocabulary() const override { return vocabulary_; }

 private:
  StringMap<TokenId> vocabulary_;
  TokenId unknown_ = -1;
  std::string prefix_;  // of every token but a word's first
  std::int64_t longest_ = 100;
};

/// Every word is a token, or unknown.
class WordLevel final : public WordModel {
 public:
  /// @throws Error(corrupt)
  explicit WordLevel(const JsonView& description);

  void encode(std::string_view word, std::vector<TokenId>& ids) const override;
  [[nodiscard]] const StringMap<TokenId>& vocabulary() const override { return vocabulary_; }

 private:
  StringMap<TokenId> vocabulary_;
  TokenId unknown_ = -1;
};

}  // namespace qcqa
