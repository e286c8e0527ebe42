#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/json/byte_trie.hpp"
#include "text/json/pieces.hpp"
#include "text/json/string_map.hpp"
#include "text/tokenizer_view.hpp"

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

  /// A token that is known by its text alone.
  [[nodiscard]] static AddedToken plain(std::string content, bool special);
  /// An object with `content` and flags. Its id counts nowhere: AddedVocabulary gives ids.
  /// @throws Error(corrupt)
  [[nodiscard]] static AddedToken read(const JsonView& entry);
};

/// Gives added tokens their ids, as the tokenizers package does: a token of the vocabulary keeps its id, every other
/// one takes the next free id in the order of adding, whatever id a file names. So ids have no gaps.
class AddedVocabulary {
 public:
  /// @param count  entries of the vocabulary; ids go on from there
  AddedVocabulary(const StringMap<TokenId>& vocabulary, std::size_t count) : vocabulary_(vocabulary), count_(count) {}

  /// A token that is there already takes the new flags.
  void add(AddedToken token);
  [[nodiscard]] bool has(std::string_view content) const { return places_.contains(content); }
  /// The id of an added token or of one of the vocabulary.
  [[nodiscard]] std::optional<TokenId> find(std::string_view content) const;
  /// In the order of adding.
  [[nodiscard]] const std::vector<AddedToken>& tokens() const noexcept { return tokens_; }

 private:
  const StringMap<TokenId>& vocabulary_;
  std::size_t count_;
  std::vector<AddedToken> tokens_;
  StringMap<std::size_t> places_;  // content -> place in tokens_
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

}  // namespace qcqa
