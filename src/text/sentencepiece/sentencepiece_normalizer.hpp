#pragma once

#include <string>
#include <string_view>

#include "text/sentencepiece/sentencepiece_model.hpp"
#include "text/unicode/character_map.hpp"

namespace qcqa {

/// Text -> text as SentencePiece does it: the compiled character map, then spaces (dummy prefix, runs of spaces,
/// escape).
class SentencePieceNormalizer {
 public:
  /// @throws Error(corrupt) for a broken character map
  explicit SentencePieceNormalizer(const SentencePieceModel& model);

  /// `text` is valid UTF-8.
  [[nodiscard]] std::string apply(std::string_view text) const;

 private:
  struct Step {
    std::string_view text;     // what it becomes
    std::size_t consumed = 0;  // bytes of the input
  };

  [[nodiscard]] Step next(std::string_view text, std::size_t at) const;

  const SentencePieceModel& model_;
  CharacterMap rules_;
};

}  // namespace qcqa
