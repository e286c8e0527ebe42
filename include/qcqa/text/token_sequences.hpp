#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "qcqa/text/tokenizer.hpp"

namespace qcqa {

/// Token ids that a model sees together. Those from `first_target` on are predicted, each from all before it.
struct TokenSequence {
  std::span<const TokenId> ids;
  std::size_t first_target = 1;  ///< at least 1: the first token has nothing before it
  std::size_t document = 0;      ///< tokens of one document are not independent: errors are estimated over documents

  [[nodiscard]] std::size_t targets() const noexcept { return ids.size() - std::min(ids.size(), first_target); }
};

/// Sequences and the ids that they point to, each a document of its own.
class TokenSequences {
 public:
  TokenSequences() = default;
  explicit TokenSequences(std::vector<std::vector<TokenId>> ids) {
    for (auto& sequence : ids) add(std::move(sequence));
  }
  TokenSequences(TokenSequences&&) = default;
  TokenSequences& operator=(TokenSequences&&) = default;
  TokenSequences(const TokenSequences&) = delete;  // the copy's sequences would point into the original
  TokenSequences& operator=(const TokenSequences&) = delete;

  void add(std::vector<TokenId> ids) {
    ids_.push_back(std::move(ids));
    sequences_.push_back({.ids = ids_.back(), .first_target = 1, .document = sequences_.size()});
  }

  [[nodiscard]] bool empty() const noexcept { return sequences_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return sequences_.size(); }
  [[nodiscard]] const std::vector<TokenSequence>& all() const noexcept { return sequences_; }
  [[nodiscard]] const std::vector<std::vector<TokenId>>& ids() const noexcept { return ids_; }
  /// Of all sequences.
  [[nodiscard]] std::size_t tokens() const noexcept {
    std::size_t sum = 0;
    for (const auto& sequence : ids_) sum += sequence.size();
    return sum;
  }

 private:
  std::vector<std::vector<TokenId>> ids_;  // moving the outer vector leaves the inner ones where they are
  std::vector<TokenSequence> sequences_;
};

}  // namespace qcqa
