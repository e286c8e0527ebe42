#include "text/json/word_piece.hpp"

#include <algorithm>

#include "support/in_quotes.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

TokenId read_unknown(const JsonView& description, const StringMap<TokenId>& vocabulary, std::string_view otherwise) {
  const std::string token = description.text_or("unk_token", otherwise);
  const auto found = vocabulary.find(token);
  if (found == vocabulary.end()) description.corrupt("unk_token must be in the vocabulary", in_quotes(token));
  return found->second;
}

std::int64_t count_characters(std::string_view text) {
  return std::ranges::count_if(text, [](char byte) { return (byte & 0xC0) != 0x80; });
}

}  // namespace

WordPiece::WordPiece(const JsonView& description)
    : vocabulary_(read_vocabulary(description)),
      unknown_(read_unknown(description, vocabulary_, "[UNK]")),
      prefix_(description.text_or("continuing_subword_prefix", "##")) {
  if (const auto most = description.find("max_input_chars_per_word")) longest_ = most->integer(0, INT32_MAX);
}

void WordPiece::encode(std::string_view word, std::vector<TokenId>& ids) const {
  if (word.empty()) return;
  const std::size_t before = ids.size();
  const auto give_up = [&] {
    ids.resize(before);
    ids.push_back(unknown_);
  };
  if (count_characters(word) > longest_) return give_up();
  std::string token;
  for (std::size_t begin = 0; begin < word.size();) {
    std::size_t end = word.size();
    auto found = vocabulary_.end();
    while (end > begin) {
      token.assign(begin > 0 ? prefix_ : "").append(word.substr(begin, end - begin));
      found = vocabulary_.find(token);
      if (found != vocabulary_.end()) break;
      do --end;
      while (end > begin && (static_cast<unsigned char>(word[end]) & 0xC0) == 0x80);
    }
    if (found == vocabulary_.end()) return give_up();
    ids.push_back(found->second);
    begin = end;
  }
}

WordLevel::WordLevel(const JsonView& description)
    : vocabulary_(read_vocabulary(description)), unknown_(read_unknown(description, vocabulary_, "<unk>")) {}

void WordLevel::encode(std::string_view word, std::vector<TokenId>& ids) const {
  if (word.empty()) return;
  const auto found = vocabulary_.find(word);
  ids.push_back(found != vocabulary_.end() ? found->second : unknown_);
}

}  // namespace qcqa
