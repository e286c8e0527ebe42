#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text/json/byte_trie.hpp"
#include "text/json/regions.hpp"
#include "text/json/word_memory.hpp"
#include "text/sentencepiece/sentencepiece_model.hpp"

namespace qcqa {

/// A part of the normalised text, by its bytes, and its id. Parts follow each other.
struct Segment {
  std::uint32_t length;
  TokenId id;
};

/// Byte-pair encoding by score (Kudo & Richardson 2018, arXiv 1808.06226): of all neighbours that form a piece, those
/// with the best score are joined first, leftmost first among equals.
class MergingSegmenter {
 public:
  explicit MergingSegmenter(const SentencePieceModel& model);
  [[nodiscard]] std::vector<Segment> run(std::string_view text) const;

 private:
  void run_region(std::string_view region, std::vector<Segment>& segments) const;

  const SentencePieceModel& model_;
  Regions regions_;
  bool has_regions_ = true;
  mutable WordMemory<std::vector<Segment>> known_;
};

/// The most probable segmentation under a unigram language model (Kudo 2018, arXiv 1804.10959, section 3.2), found by
/// the Viterbi algorithm in float32, as SentencePiece computes it.
class UnigramSegmenter {
 public:
  explicit UnigramSegmenter(const SentencePieceModel& model);
  [[nodiscard]] std::vector<Segment> run(std::string_view text) const;

 private:
  const SentencePieceModel& model_;
  ByteTrie pieces_;
  float unknown_score_ = 0;
  float largest_score_ = 0;
};

}  // namespace qcqa
