#include "text/sentencepiece/sentencepiece_tokenizer.hpp"

#include "text/sentencepiece/sentencepiece_model.hpp"
#include "text/sentencepiece/sentencepiece_normalizer.hpp"
#include "text/sentencepiece/sentencepiece_segment.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

class SentencePiece final : public TextModel {
 public:
  explicit SentencePiece(SentencePieceModel model)
      : model_(std::move(model)), normalizer_(model_), merging_(model_), unigram_(model_) {}

  std::vector<TokenId> encode(std::string_view text) const override {
    const std::string normalized = normalizer_.apply(text);
    std::vector<TokenId> ids;
    ids.reserve(normalized.size() / 3);
    bool after_unknown = false;
    std::size_t at = 0;
    for (const Segment& segment : segments(normalized)) {
      const bool is_unknown = segment.id == model_.unknown;
      if (is_unknown && model_.byte_fallback) {
        for (const char byte : std::string_view(normalized).substr(at, segment.length))
          ids.push_back(model_.bytes[static_cast<unsigned char>(byte)]);
      } else if (!is_unknown || !after_unknown) {  // a run of unknown pieces is one
        ids.push_back(segment.id);
      }
      after_unknown = is_unknown;
      at += segment.length;
    }
    return ids;
  }

  std::string decode(std::span<const TokenId> ids) const override {
    std::string text, bytes;
    bool at_start = true, dropped_space = false;
    const auto flush_bytes = [&] {
      append_bytes(bytes, text);
      bytes.clear();
    };
    for (const TokenId id : ids) {
      const SentencePieceEntry& piece = model_.at(id);
      if (piece.kind == PieceKind::byte) {
        bytes += byte_of(id);
        continue;
      }
      flush_bytes();
      if (dropped_space || !text.empty()) at_start = false;
      dropped_space = false;
      if (piece.kind == PieceKind::unknown) text += model_.unknown_surface;
      if (piece.kind == PieceKind::unknown || piece.kind == PieceKind::control) continue;
      std::string_view rest = piece.text;
      if (at_start && (model_.add_dummy_prefix || model_.remove_extra_spaces) && rest.starts_with(kSpaceSymbol)) {
        rest.remove_prefix(kSpaceSymbol.size());
        dropped_space = !model_.remove_extra_spaces;
      }
      append_spaced(rest, text);
    }
    flush_bytes();
    return text;
  }

  std::size_t size() const override { return model_.pieces.size(); }

 private:
  [[nodiscard]] std::vector<Segment> segments(std::string_view text) const {
    return model_.algorithm == SentencePieceModel::Algorithm::bpe ? merging_.run(text) : unigram_.run(text);
  }

  /// The byte of "<0x0A>"; the model's reader has checked the spelling.
  [[nodiscard]] char byte_of(TokenId id) const {
    const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'A' + 10; };
    const std::string& text = model_.at(id).text;
    return static_cast<char>(digit(text[3]) * 16 + digit(text[4]));
  }

  static void append_spaced(std::string_view piece, std::string& text) {
    for (std::size_t at = 0; at < piece.size();) {
      if (piece.substr(at).starts_with(kSpaceSymbol)) {
        text += ' ';
        at += kSpaceSymbol.size();
      } else {
        text += piece[at++];
      }
    }
  }

  /// Every byte that is not part of a character becomes one U+FFFD.
  static void append_bytes(std::string_view bytes, std::string& text) {
    while (!bytes.empty()) {
      const std::size_t valid = invalid_utf8_at(bytes).value_or(bytes.size());
      text += bytes.substr(0, valid);
      bytes.remove_prefix(valid);
      if (bytes.empty()) return;
      text += kReplacementCharacter;
      bytes.remove_prefix(1);
    }
  }

  SentencePieceModel model_;
  SentencePieceNormalizer normalizer_;
  MergingSegmenter merging_;
  UnigramSegmenter unigram_;
};

}  // namespace

std::unique_ptr<const TextModel> make_sentencepiece(SentencePieceModel model) {
  return std::make_unique<const SentencePiece>(std::move(model));
}

}  // namespace qcqa
