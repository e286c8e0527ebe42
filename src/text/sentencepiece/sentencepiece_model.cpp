#include "text/sentencepiece/sentencepiece_model.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/support/error.hpp"
#include "support/advice.hpp"
#include "support/in_quotes.hpp"
#include "text/base64.hpp"
#include "text/sentencepiece/protobuf.hpp"
#include "text/tokenizer_view.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

bool is_byte_spelling(std::string_view text) {
  const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F'); };
  return text.size() == 6 && text.starts_with("<0x") && is_digit(text[3]) && is_digit(text[4]) && text[5] == '>';
}

/// Whether the file begins with a line such as "IQ== 0".
bool is_tiktoken(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find('\n'));
  const std::size_t space = line.find(' ');
  if (space == 0 || space == std::string_view::npos || space + 1 == line.size()) return false;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return bytes_of_base64(line.substr(0, space)) && std::ranges::all_of(line.substr(space + 1), is_digit);
}

class ModelReader {
 public:
  ModelReader(const std::filesystem::path& file, const std::string& bytes) {
    model_.where = file.string();
    if (bytes.starts_with("version https://git-lfs")) {
      throw Error(ErrorKind::corrupt, model_.where, "must be a SentencePiece model", "a git-LFS pointer",
                  "Run `git lfs pull`.");
    }
    if (is_tiktoken(bytes)) {
      throw Error(ErrorKind::unsupported, model_.where, "must be a SentencePiece model",
                  "a tiktoken vocabulary (lines of base64 and a rank), which says neither how to split words nor which "
                  "special tokens there are",
                  "Take the tokenizer.json of the same model, or make one: with the Python package tiktoken installed, "
                  "transformers' AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER). Or: " +
                      std::string(kUseTokenIds));
    }
    ProtobufReader fields(bytes, model_.where);
    while (const auto field = fields.next()) {
      if (!field->has_bytes) continue;
      if (field->number == 1) read_piece(field->bytes);
      if (field->number == 2) read_trainer(field->bytes);
      if (field->number == 3) read_normalizer(field->bytes);
      if (field->number == 5) read_denormalizer(field->bytes);
    }
    index();
  }

  SentencePieceModel take() { return std::move(model_); }

 private:
  [[noreturn]] void corrupt(std::string_view rule, std::string_view found) const {
    throw Error(ErrorKind::corrupt, model_.where, rule, found, kFetchAgain);
  }

  [[noreturn]] void unsupported(std::string_view what) const {
    throw Error(ErrorKind::unsupported, model_.where, std::string(what) + " is not supported", {}, kUseTokenIds);
  }

  void read_piece(std::string_view message) {
    SentencePieceEntry piece;
    ProtobufReader fields(message, model_.where);
    while (const auto field = fields.next()) {
      if (field->number == 1) piece.text = field->bytes;
      if (field->number == 2) piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field->value));
      if (field->number == 3) {
        if (field->value < 1 || field->value > 6) corrupt("pieces are of kinds 1 to 6", std::to_string(field->value));
        piece.kind = static_cast<PieceKind>(field->value);
      }
    }
    // Not a number has no place in an order.
    if (piece.text.empty() || invalid_utf8_at(piece.text) || std::isnan(piece.score)) {
      corrupt("a piece has a UTF-8 text and a score", "piece " + std::to_string(model_.pieces.size()));
    }
    model_.pieces.push_back(std::move(piece));
  }

  void read_trainer(std::string_view message) {
    ProtobufReader fields(message, model_.where);
    while (const auto field = fields.next()) {
      switch (field->number) {
        case 3:
          if (field->value != 1 && field->value != 2)
            unsupported("SentencePiece model type " + std::to_string(field->value));
          model_.algorithm = static_cast<SentencePieceModel::Algorithm>(field->value);
          break;
        case 24:
          if (field->value != 0) unsupported("treat_whitespace_as_suffix");
          break;
        case 35:
          model_.byte_fallback = field->value != 0;
          break;
        case 40:
          model_.unknown_id = static_cast<std::int32_t>(field->value);
          break;
        case 41:
          model_.bos_id = static_cast<std::int32_t>(field->value);
          break;
        case 42:
          model_.eos_id = static_cast<std::int32_t>(field->value);
          break;
        case 45:
          if (!field->bytes.empty()) model_.unknown_piece = field->bytes;
          break;
        case 44:
          model_.unknown_surface = field->bytes;
          break;
        case 46:
          if (!field->bytes.empty()) model_.bos_piece = field->bytes;
          break;
        case 47:
          if (!field->bytes.empty()) model_.eos_piece = field->bytes;
          break;
        default:
          break;
      }
    }
  }

  void read_normalizer(std::string_view message) {
    ProtobufReader fields(message, model_.where);
    while (const auto field = fields.next()) {
      if (field->number == 2) model_.character_map = field->bytes;
      if (field->number == 3) model_.add_dummy_prefix = field->value != 0;
      if (field->number == 4) model_.remove_extra_spaces = field->value != 0;
      if (field->number == 5) model_.escape_spaces = field->value != 0;
    }
  }

  void read_denormalizer(std::string_view message) {
    ProtobufReader fields(message, model_.where);
    while (const auto field = fields.next()) {
      if (field->number == 2 && !field->bytes.empty()) unsupported("a denormalizer");
    }
  }

  void index() {
    if (model_.pieces.empty()) corrupt("must have pieces", "none");
    for (std::size_t i = 0; i < model_.pieces.size(); ++i) {
      const SentencePieceEntry& piece = model_.pieces[i];
      const auto id = static_cast<TokenId>(i);
      const bool is_text =
          piece.kind == PieceKind::normal || piece.kind == PieceKind::user_defined || piece.kind == PieceKind::unused;
      // Kept apart: the token of byte 0x41 is spelled "<0x41>" and must not hide a piece, nor a piece it.
      if (!(is_text ? model_.texts : model_.reserved).emplace(piece.text, id).second) {
        corrupt("a piece is there once", in_quotes(piece.text));
      }
      if (piece.kind == PieceKind::user_defined) model_.user_defined.insert(piece.text, id);
      if (piece.kind == PieceKind::byte && !is_byte_spelling(piece.text)) {
        corrupt("a byte piece is spelled <0x00> to <0xFF>", in_quotes(piece.text));
      }
      if (piece.kind == PieceKind::unknown) {
        if (model_.unknown >= 0) corrupt("there is one unknown piece", in_quotes(piece.text));
        model_.unknown = id;
      }
    }
    if (model_.unknown < 0) corrupt("there is one unknown piece", "none");
    if (model_.byte_fallback) index_bytes();
  }

  void index_bytes() {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    for (unsigned byte = 0; byte < 256; ++byte) {
      const std::string spelling = std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + ">";
      const auto found = model_.reserved.find(spelling);
      if (found == model_.reserved.end() || model_.at(found->second).kind != PieceKind::byte) {
        corrupt("byte_fallback needs a piece for every byte", "none for " + spelling);
      }
      model_.bytes.push_back(found->second);
    }
  }

  SentencePieceModel model_;
};

}  // namespace

TokenId SentencePieceModel::find(std::string_view piece) const {
  if (const auto found = reserved.find(piece); found != reserved.end()) return found->second;
  if (const auto found = texts.find(piece); found != texts.end()) return found->second;
  return unknown;
}

std::size_t SentencePieceModel::symbol_length(std::string_view text, std::size_t at, bool& is_user_defined) const {
  const std::size_t length = user_defined.longest(text, at).length;
  is_user_defined = length > 0;
  return is_user_defined ? length : utf8_length(text[at]);
}

SentencePieceModel read_sentencepiece_model(const std::filesystem::path& file) {
  return ModelReader(file, read_text_file(file)).take();
}

}  // namespace qcqa
