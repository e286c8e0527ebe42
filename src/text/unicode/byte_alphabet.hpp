#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace qcqa {

/// GPT-2's spelling of bytes as printable characters (Radford et al. 2019, "Language Models are Unsupervised Multitask
/// Learners", and its published encoder): printable bytes of Latin-1 as themselves, the others as U+0100, U+0101, ...
class ByteAlphabet {
 public:
  ByteAlphabet();

  [[nodiscard]] const std::string& spelling(unsigned char byte) const noexcept { return spelling_[byte]; }
  /// `bytes` spelled out.
  [[nodiscard]] std::string spell(std::string_view bytes) const;
  /// The bytes that `spelling` (valid UTF-8) stands for; nothing when a character is outside the alphabet.
  [[nodiscard]] std::optional<std::string> bytes_of(std::string_view spelling) const;

 private:
  std::array<std::string, 256> spelling_;
  std::array<short, 0x144> byte_;  // code point -> byte, or -1
};

[[nodiscard]] const ByteAlphabet& byte_alphabet();

}  // namespace qcqa
