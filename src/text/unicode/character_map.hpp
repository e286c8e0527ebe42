#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qcqa {

/// SentencePiece's compiled rules of normalisation: texts -> texts, in a double array. A tokenizer.model has them, and
/// a tokenizer.json in its step `Precompiled`, which applies them in a way of its own.
class CharacterMap {
 public:
  CharacterMap() = default;
  /// @param bytes  empty: no rules  @throws Error(corrupt) naming `where`
  CharacterMap(std::string_view bytes, const std::string& where);

  [[nodiscard]] bool empty() const noexcept { return rules_.empty(); }

  struct Match {
    std::size_t length = 0;   ///< bytes of the input; 0: no rule fits
    std::string_view target;  ///< what they become
  };
  /// The rules that fit at `at`.
  [[nodiscard]] Match longest(std::string_view text, std::size_t at) const;
  [[nodiscard]] Match shortest(std::string_view text, std::size_t at) const;

 private:
  [[nodiscard]] Match find(std::string_view text, std::size_t at, bool first) const;

  std::vector<std::uint32_t> rules_;  // texts -> places in targets_
  std::string targets_;               // texts, each ended by NUL
};

}  // namespace qcqa
