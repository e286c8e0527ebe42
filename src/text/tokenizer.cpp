#include "qcqa/text/tokenizer.hpp"

#include "qcqa/support/error.hpp"
#include "text/json/json_tokenizer.hpp"
#include "text/sentencepiece/sentencepiece_tokenizer.hpp"
#include "text/special_tokens.hpp"
#include "text/text_model.hpp"
#include "text/tokenizer_cache.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {

namespace {

/// As the SentencePiece library is used: BOS unless the folder says otherwise.
TextFrame sentencepiece_frame(const TokenizerDescription& description) {
  const SentencePieceModel& pieces = *description.pieces;
  const auto flag = [&](const char* key, bool otherwise) {
    const auto it = description.config.find(key);
    return it != description.config.end() && it->is_boolean() ? it->get<bool>() : otherwise;
  };
  const auto control = [&](const std::string& piece) -> std::vector<TokenId> {
    const TokenId id = pieces.find(piece);
    return pieces.at(id).kind == PieceKind::control ? std::vector{id} : std::vector<TokenId>();
  };
  TextFrame frame;
  if (flag("add_bos_token", true)) frame.before = control(pieces.bos_piece);
  if (flag("add_eos_token", false)) frame.after = control(pieces.eos_piece);
  return frame;
}

}  // namespace

Tokenizer::Tokenizer(std::filesystem::path source, std::unique_ptr<const TextModel> model)
    : source_(std::move(source)), model_(std::move(model)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::open(const std::filesystem::path& model_folder, TokenizerKind kind) {
  const auto shared = described_tokenizer(model_folder);
  const TokenizerDescription& description = *shared;
  const bool sentencepiece = kind == TokenizerKind::sentencepiece && description.pieces;
  Tokenizer tokenizer(description.source,
                      sentencepiece ? make_sentencepiece(*description.pieces) : make_json_tokenizer(description));
  if (!sentencepiece) tokenizer.notes_ = description.notes;
  const TextFrame frame =
      sentencepiece ? sentencepiece_frame(description) : TextFrame{description.before, description.after};
  tokenizer.special_ =
      find_special_tokens(model_folder, description, frame, tokenizer.vocabulary_size(), tokenizer.notes_);
  return tokenizer;
}

std::vector<TokenId> Tokenizer::encode(std::string_view text) const {
  if (const auto position = invalid_utf8_at(text)) {
    throw Error(ErrorKind::invalid_argument, "text", "must be UTF-8",
                "something else at byte " + std::to_string(*position));
  }
  return model_->encode(text);
}

std::string Tokenizer::decode(std::span<const TokenId> ids) const {
  for (const TokenId id : ids) {
    if (id < 0 || static_cast<std::size_t>(id) >= model_->size()) {
      throw Error(ErrorKind::invalid_argument, source_.string(),
                  "token ids go from 0 to " + std::to_string(model_->size() - 1), std::to_string(id));
    }
  }
  return model_->decode(ids);
}

std::size_t Tokenizer::vocabulary_size() const { return model_->size(); }

}  // namespace qcqa
