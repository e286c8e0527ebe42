#include "text/json/json_tokenizer.hpp"

#include "text/json/added_tokens.hpp"
#include "text/json/decoder.hpp"
#include "text/json/normalizer.hpp"
#include "text/json/pre_tokenizer.hpp"

namespace qcqa {
namespace {

class JsonTokenizer final : public TextModel {
 public:
  explicit JsonTokenizer(const TokenizerDescription& description) : words_(description.words) {
    const JsonView root = tokenizer_view(description.document, description.source);
    if (const auto normalizer = root.find("normalizer")) normalizer_ = make_normalizer(*normalizer);
    if (const auto words = root.find("pre_tokenizer")) pre_tokenizer_ = make_pre_tokenizer(*words);
    if (const auto decoder = root.find("decoder")) decoder_ = make_decoder(*decoder);
    for (const auto& [token, id] : words_->vocabulary()) entry(id).spelling = token;
    // As in the tokenizers package special tokens come first where two have one spelling.
    for (const bool special : {true, false}) {
      for (const AddedToken& token : description.added) {
        if (token.special == special) add(token, special && description.split_special);
      }
    }
  }

  std::vector<TokenId> encode(std::string_view text) const override {
    Pieces raw, pieces;
    in_raw_text_.split(text, true, raw);
    for (const Piece& piece : raw.all()) {
      if (piece.id != Piece::kIsText) {
        pieces.add(piece);
      } else {
        const std::string_view normalized = normalizer_ ? raw.keep(normalizer_(piece.text)) : piece.text;
        in_normalized_text_.split(normalized, piece.at_start, pieces);
      }
    }
    if (pre_tokenizer_) pre_tokenizer_(pieces);
    std::vector<TokenId> ids;
    ids.reserve(text.size() / 3);
    for (const Piece& piece : pieces.all()) {
      if (piece.id != Piece::kIsText) {
        ids.push_back(piece.id);
      } else {
        words_->encode(piece.text, ids);
      }
    }
    return ids;
  }

  std::string decode(std::span<const TokenId> ids) const override {
    std::vector<std::string> tokens;
    for (const TokenId id : ids) {
      const Entry& token = entries_[static_cast<std::size_t>(id)];
      if (!token.is_special && !token.spelling.empty()) tokens.push_back(token.spelling);
    }
    std::string result;
    if (decoder_) {
      for (const std::string& part : decoder_(std::move(tokens))) result += part;
    } else {
      for (const std::string& token : tokens) result.append(result.empty() ? "" : " ").append(token);
    }
    return result;
  }

  std::size_t size() const override { return entries_.size(); }

 private:
  struct Entry {
    std::string spelling;  // empty for an id that no token has
    bool is_special = false;
  };

  Entry& entry(TokenId id) {
    const auto place = static_cast<std::size_t>(id);
    if (place >= entries_.size()) entries_.resize(place + 1);
    return entries_[place];
  }

  void add(const AddedToken& token, bool is_text) {
    // The package looks for the normalised spelling, and decodes to it as well.
    const std::string spelling = token.normalized && normalizer_ ? normalizer_(token.content) : token.content;
    entry(token.id) = {spelling, token.special};
    if (!is_text) (token.normalized ? in_normalized_text_ : in_raw_text_).add(token, spelling);
  }

  std::shared_ptr<const WordModel> words_;
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  Decoder decoder_;
  std::vector<Entry> entries_;
  AddedTokenFinder in_raw_text_, in_normalized_text_;
};

}  // namespace

std::unique_ptr<const TextModel> make_json_tokenizer(const TokenizerDescription& description) {
  return std::make_unique<const JsonTokenizer>(description);
}

}  // namespace qcqa
