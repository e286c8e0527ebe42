#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/byte_trie.hpp"
#include "text/json_view.hpp"
#include "text/pieces.hpp"

namespace qcqa {

/// A token that is looked for in the text before anything else happens to it.
struct AddedToken {
  TokenId id = 0;
  std::string content;
  bool single_word = false;  ///< only where no word character stands next to it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< takes the white space behind it along
  bool normalized = true;    ///< looked for in the normalised text
  bool special = false;      ///< left out of decoded text
};

/// Finds added tokens: at every place the longest, from left to right.
class AddedTokenFinder {
 public:
  /// `spelling` is what is looked for; the first of equal spellings counts.
  void add(const AddedToken& token, const std::string& spelling);
  /// Appends the parts of `text` to `pieces`.
  void split(std::string_view text, bool at_start, Pieces& pieces) const;

 private:
  ByteTrie spellings_;  // -> places in tokens_
  std::vector<AddedToken> tokens_;
};

/// The array `added_tokens` of a tokenizer.json. @throws Error(corrupt)
[[nodiscard]] std::vector<AddedToken> read_added_tokens(const JsonView& root, TokenId largest_id);

}  // namespace qcqa
