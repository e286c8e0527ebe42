#include <algorithm>
#include <queue>
#include <unordered_map>
#include <utility>

#include "text/sentencepiece/sentencepiece_segment.hpp"

namespace qcqa {
namespace {

struct TextPart {
  std::string_view text;  // empty once it is part of its left neighbour
  std::int64_t previous, next;
  bool is_user_defined;
};

struct PartPair {
  float score;
  std::int64_t left, right;
  std::size_t size;  // bytes of both; tells whether one of them has changed since
  bool operator<(const PartPair& other) const {
    return score < other.score || (score == other.score && left > other.left);
  }
};

class Merger {
 public:
  Merger(const SentencePieceModel& model, std::string_view text) : model_(model) {
    for (std::size_t at = 0; at < text.size();) {
      bool is_user_defined = false;
      const std::size_t length = model.symbol_length(text, at, is_user_defined);
      const auto place = static_cast<std::int64_t>(parts_.size());
      parts_.push_back({text.substr(at, length), place - 1, place + 1, is_user_defined});
      at += length;
    }
    if (!parts_.empty()) parts_.back().next = -1;
  }

  void run(std::vector<Segment>& segments) {
    for (std::int64_t right = 1; right < static_cast<std::int64_t>(parts_.size()); ++right) propose(right - 1, right);
    while (!queue_.empty()) {
      const PartPair top = queue_.top();
      queue_.pop();
      TextPart& left = part(top.left);
      TextPart& right = part(top.right);
      if (left.text.empty() || right.text.empty() || left.text.size() + right.text.size() != top.size) continue;
      // The right one follows it in one text. NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage)
      left.text = {left.text.data(), top.size};
      left.next = right.next;
      if (right.next >= 0) part(right.next).previous = top.left;
      right.text = {};
      propose(left.previous, top.left);
      propose(top.left, left.next);
    }
    for (std::int64_t i = parts_.empty() ? -1 : 0; i >= 0; i = part(i).next) put(part(i).text, segments);
  }

 private:
  TextPart& part(std::int64_t place) { return parts_[static_cast<std::size_t>(place)]; }

  void propose(std::int64_t left, std::int64_t right) {
    if (left < 0 || right < 0 || part(left).is_user_defined || part(right).is_user_defined) return;
    const std::string_view a = part(left).text, b = part(right).text, both(a.data(), a.size() + b.size());
    const auto found = model_.texts.find(both);
    if (found == model_.texts.end()) return;
    const SentencePieceEntry& piece = model_.at(found->second);
    queue_.push({piece.score, left, right, both.size()});
    if (piece.kind == PieceKind::unused) parts_of_unused_.insert_or_assign(both, std::pair(a, b));
  }

  /// An unused piece may arise on the way to a larger one, but is not put out itself.
  void put(std::string_view text, std::vector<Segment>& segments) const {
    const TokenId id = model_.find(text);
    const auto parts = model_.at(id).kind == PieceKind::unused ? parts_of_unused_.find(text) : parts_of_unused_.end();
    if (parts == parts_of_unused_.end()) {
      segments.push_back({static_cast<std::uint32_t>(text.size()), id});
    } else {
      put(parts->second.first, segments);
      put(parts->second.second, segments);
    }
  }

  const SentencePieceModel& model_;
  std::vector<TextPart> parts_;
  std::priority_queue<PartPair> queue_;
  std::unordered_map<std::string_view, std::pair<std::string_view, std::string_view>> parts_of_unused_;
};

}  // namespace

MergingSegmenter::MergingSegmenter(const SentencePieceModel& model) : model_(model) {
  for (const SentencePieceEntry& piece : model.pieces) {
    regions_.allow(piece.text);
    // How an unused piece is taken apart depends on where in the text it arose last.
    if (piece.kind == PieceKind::unused) has_regions_ = false;
  }
}

std::vector<Segment> MergingSegmenter::run(std::string_view text) const {
  std::vector<Segment> segments;
  for (std::size_t begin = 0; begin < text.size();) {
    // User-defined pieces count as well: a cut goes through none of them.
    const std::size_t end = has_regions_ ? regions_.end(text, begin) : text.size();
    run_region(text.substr(begin, end - begin), segments);
    begin = end;
  }
  return segments;
}

void MergingSegmenter::run_region(std::string_view region, std::vector<Segment>& segments) const {
  const auto append = [&](const std::vector<Segment>& known) {
    segments.insert(segments.end(), known.begin(), known.end());
  };
  if (known_.recall(region, append)) return;
  std::vector<Segment> result;
  Merger(model_, region).run(result);
  append(result);
  known_.keep(region, std::move(result));
}

}  // namespace qcqa
