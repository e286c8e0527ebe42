#pragma once

#include <string>
#include <vector>

#include "text/json/byte_trie.hpp"
#include "text/json/word_memory.hpp"
#include "text/json/word_model.hpp"

namespace qcqa {

/// The most probable segmentation under a unigram language model (Kudo 2018, arXiv 1804.10959, section 3.2) as a
/// tokenizer.json describes it. The tokenizers package computes in float64, SentencePiece in float32, and only the
/// latter knows user-defined pieces, so the two are not one (see UnigramSegmenter).
class Unigram final : public WordModel {
 public:
  /// @throws Error(corrupt)
  explicit Unigram(const JsonView& description);

  void encode(std::string_view word, std::vector<TokenId>& ids) const override;
  [[nodiscard]] const StringMap<TokenId>& vocabulary() const override { return vocabulary_; }
  [[nodiscard]] std::size_t count() const override { return scores_.size(); }

 private:
  struct Part {
    std::size_t begin, end;
    TokenId id;  // -1: unknown
  };

  [[nodiscard]] std::vector<Part> best_path(std::string_view word) const;
  void spell_unknown(std::string_view part, std::vector<TokenId>& ids) const;

  std::string where_;
  StringMap<TokenId> vocabulary_;
  std::vector<double> scores_;  // by id
  ByteTrie pieces_;
  double unknown_score_ = 0;
  TokenId unknown_ = -1;
  std::vector<TokenId> byte_tokens_;  // byte -> id or -1; empty without byte_fallback
  mutable WordMemory<std::vector<TokenId>> known_;
};

}  // namespace qcqa
