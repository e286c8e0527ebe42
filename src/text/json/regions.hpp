#pragma once

#include <string_view>

#include "text/json/pair_table.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {

/// Cuts a text where no piece of a vocabulary can lie across the cut: between two characters that are neighbours in no
/// piece. Merging on one side of such a cut never looks at the other, so the regions can be encoded one by one with the
/// same result. For the usual vocabularies a region is a word, for which the answer is mostly known (WordMemory): with
/// Llama's tokenizer.model, which has no pre-tokenizer, that is 30 times as fast as merging a text as a whole.
class Regions {
 public:
  /// `piece` may be found in a text.
  void allow(std::string_view piece) {
    if (piece.empty()) return;
    std::size_t at = 0;
    for (char32_t left = next_code_point(piece, at); at < piece.size();) {
      const char32_t right = next_code_point(piece, at);
      neighbours_.assign(left, right, true);
      left = right;
    }
  }

  /// The end of the region that begins at `begin` < text.size().
  [[nodiscard]] std::size_t end(std::string_view text, std::size_t begin) const {
    std::size_t at = begin;
    for (char32_t left = next_code_point(text, at); at < text.size();) {
      const std::size_t cut = at;
      const char32_t right = next_code_point(text, at);
      if (neighbours_.find(left, right) == nullptr) return cut;
      left = right;
    }
    return text.size();
  }

 private:
  PairTable<bool> neighbours_;
};

}  // namespace qcqa
