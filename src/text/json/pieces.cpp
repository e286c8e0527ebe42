#include "text/json/pieces.hpp"

#include <algorithm>

namespace qcqa {
namespace {

struct Part {
  TextRange range;
  bool is_match;
};

std::vector<Part> cover(std::size_t size, const std::vector<TextRange>& matches, bool inverted) {
  std::vector<Part> parts;
  std::size_t end = 0;
  for (const TextRange& match : matches) {
    if (end < match.begin) parts.push_back({{end, match.begin}, inverted});
    parts.push_back({match, !inverted});
    end = match.end;
  }
  if (end < size) parts.push_back({{end, size}, inverted});
  return parts;
}

}  // namespace

void Pieces::rewrite(const std::function<std::string(std::string_view, bool)>& new_text) {
  for (Piece& piece : pieces_) {
    if (piece.id == Piece::kIsText) piece.text = keep(new_text(piece.text, piece.at_start));
  }
  std::erase_if(pieces_, [](const Piece& piece) { return piece.id == Piece::kIsText && piece.text.empty(); });
}

void Pieces::split(const std::function<void(std::string_view, std::vector<TextRange>&)>& parts_of) {
  std::vector<Piece> result;
  std::vector<TextRange> parts;
  for (const Piece& piece : pieces_) {
    if (piece.id != Piece::kIsText) {
      result.push_back(piece);
      continue;
    }
    parts.clear();
    parts_of(piece.text, parts);
    for (const TextRange& part : parts) {
      result.push_back(
          {piece.text.substr(part.begin, part.end - part.begin), Piece::kIsText, piece.at_start && part.begin == 0});
    }
  }
  pieces_ = std::move(result);
}

void split_at(std::size_t size, const std::vector<TextRange>& matches, SplitBehavior behavior, bool inverted,
              std::vector<TextRange>& parts) {
  const std::vector<Part> all = cover(size, matches, inverted);
  const std::size_t first = parts.size();
  bool previous = false;  // was the neighbour a match?
  switch (behavior) {
    case SplitBehavior::isolated:
      for (const Part& part : all) parts.push_back(part.range);
      break;
    case SplitBehavior::removed:
      for (const Part& part : all) {
        if (!part.is_match) parts.push_back(part.range);
      }
      break;
    case SplitBehavior::contiguous:
      for (const Part& part : all) {
        if (part.is_match == previous && parts.size() > first) {
          parts.back().end = part.range.end;
        } else {
          parts.push_back(part.range);
        }
        previous = part.is_match;
      }
      break;
    case SplitBehavior::merged_with_previous:
      for (const Part& part : all) {
        if (part.is_match && !previous && parts.size() > first) {
          parts.back().end = part.range.end;
        } else {
          parts.push_back(part.range);
        }
        previous = part.is_match;
      }
      break;
    case SplitBehavior::merged_with_next:
      for (auto part = all.rbegin(); part != all.rend(); ++part) {
        if (part->is_match && !previous && parts.size() > first) {
          parts.back().begin = part->range.begin;
        } else {
          parts.push_back(part->range);
        }
        previous = part->is_match;
      }
      std::reverse(parts.begin() + static_cast<std::ptrdiff_t>(first), parts.end());
      break;
  }
  std::erase_if(parts, [](const TextRange& part) { return part.begin == part.end; });
}

}  // namespace qcqa
