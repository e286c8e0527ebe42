#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/json/pair_table.hpp"
#include "text/json/regions.hpp"
#include "text/json/word_memory.hpp"
#include "text/json/word_model.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {

/// Byte-pair encoding as a tokenizer.json describes it (Sennrich et al. 2016, "Neural Machine Translation of Rare Words
/// with Subword Units", arXiv 1508.07909, section 3.2): a word begins as its characters, and the pair whose merge was
/// learned first is merged first, leftmost first among equals.
class Bpe final : public WordModel {
 public:
  /// @throws Error(corrupt, unsupported)
  explicit Bpe(const JsonView& description);

  void encode(std::string_view word, std::vector<TokenId>& ids) const override;

  [[nodiscard]] const StringMap<TokenId>& vocabulary() const override { return vocabulary_; }

 private:
  struct Merge {
    std::uint32_t rank;
    TokenId result;
  };

  void read_merges(const JsonView& description);
  void find_regions(const JsonView& merges);
  void encode_region(std::string_view region, std::vector<TokenId>& ids) const;
  [[nodiscard]] std::vector<TokenId> characters_of(std::string_view word) const;
  void merge(std::vector<TokenId>& ids) const;
  [[nodiscard]] const Merge* find_merge(TokenId left, TokenId right) const;
  [[nodiscard]] const TokenId* find(std::string_view token) const;

  StringMap<TokenId> vocabulary_;
  PairTable<Merge> merges_;
  std::vector<TokenId> byte_tokens_;  // byte -> id of "<0x..>", or -1; empty without byte_fallback
  TokenId unknown_ = -1;
  bool fuses_unknown_ = false;
  bool ignores_merges_ = false;
  std::string prefix_;  // of every character but a word's first
  std::string suffix_;  // of a word's last character

  Regions regions_;
  bool has_regions_ = false;  // whether words may be cut into them
  mutable WordMemory<std::vector<TokenId>> known_;
};

}  // namespace qcqa
