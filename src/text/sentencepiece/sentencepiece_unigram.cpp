#include <algorithm>

#include "text/sentencepiece/sentencepiece_segment.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

constexpr float kUnknownPiecePenalty = 10;

struct Path {
  TokenId id = -1;
  float score = 0;
  std::int64_t begin = -1;  // of the last piece; -1: no path ends here yet

  void offer(TokenId piece, float new_score, std::size_t from) {
    if (begin >= 0 && !(new_score > score)) return;
    *this = {piece, new_score, static_cast<std::int64_t>(from)};
  }
};

}  // namespace

UnigramSegmenter::UnigramSegmenter(const SentencePieceModel& model) : model_(model) {
  float smallest = 0;
  bool is_first = true;
  for (std::size_t i = 0; i < model.pieces.size(); ++i) {
    const SentencePieceEntry& piece = model.pieces[i];
    if (piece.kind == PieceKind::normal) {
      smallest = is_first ? piece.score : std::min(smallest, piece.score);
      largest_score_ = is_first ? piece.score : std::max(largest_score_, piece.score);
      is_first = false;
    }
    if (piece.kind == PieceKind::normal || piece.kind == PieceKind::user_defined) {
      pieces_.insert(piece.text, static_cast<std::int32_t>(i));
    }
  }
  unknown_score_ = smallest - kUnknownPiecePenalty;
}

std::vector<Segment> UnigramSegmenter::run(std::string_view text) const {
  std::vector<Path> best(text.size() + 1);  // by where a path ends
  for (std::size_t begin = 0; begin < text.size(); begin += utf8_length(text[begin])) {
    const float so_far = best[begin].score;
    const std::size_t character = utf8_length(text[begin]);
    bool has_character = false;
    pieces_.for_each_prefix(text, begin, [&](std::size_t length, std::int32_t id) {
      const SentencePieceEntry& piece = model_.at(id);
      // A user-defined piece gets what the best pieces of one byte each would: it always wins.
      const double score = piece.kind == PieceKind::user_defined
                               ? static_cast<double>(static_cast<float>(length) * largest_score_) - 0.1
                               : static_cast<double>(piece.score);
      best[begin + length].offer(id, static_cast<float>(score + static_cast<double>(so_far)), begin);
      has_character = has_character || length == character;
    });
    if (!has_character) best[begin + character].offer(model_.unknown, unknown_score_ + so_far, begin);
  }
  std::vector<Segment> segments;
  for (std::size_t end = text.size(); end > 0;) {
    const auto begin = static_cast<std::size_t>(best[end].begin);
    segments.push_back({static_cast<std::uint32_t>(end - begin), best[end].id});
    end = begin;
  }
  std::ranges::reverse(segments);
  return segments;
}

}  // namespace qcqa
