#pragma once

#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "qcqa/text/tokenizer.hpp"
#include "text/json/regex.hpp"

namespace qcqa {

/// A part of the text on its way to becoming ids.
struct Piece {
  static constexpr TokenId kIsText = -1;

  std::string_view text;
  TokenId id = kIsText;   ///< an added token that was found in the text; no later step looks into it
  bool at_start = false;  ///< the text begins here
};

/// The pieces in order, with the strings that steps wrote anew.
class Pieces {
 public:
  void add(const Piece& piece) { pieces_.push_back(piece); }
  [[nodiscard]] const std::vector<Piece>& all() const noexcept { return pieces_; }

  /// `text` in a place that lives as long as this object.
  std::string_view keep(std::string text) { return strings_.emplace_back(std::move(text)); }

  /// Replaces every piece of text by what `step` says: new_text(text, at_start), and then the parts of it.
  void rewrite(const std::function<std::string(std::string_view text, bool at_start)>& new_text);
  void split(const std::function<void(std::string_view text, std::vector<TextRange>& parts)>& parts_of);

 private:
  std::vector<Piece> pieces_;
  std::deque<std::string> strings_;
};

/// What becomes of the places where a text is split: the `SplitDelimiterBehavior` of the tokenizers package.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// The parts of a text of `size` bytes that is split at `matches` (in order, not overlapping), or, `inverted`, at what
/// lies between them. Appends to `parts`; empty parts are left out.
void split_at(std::size_t size, const std::vector<TextRange>& matches, SplitBehavior behavior, bool inverted,
              std::vector<TextRange>& parts);

}  // namespace qcqa
