#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace qcqa {

/// What stands for bytes that are not UTF-8: U+FFFD.
inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

/// Where `text` first is not UTF-8 (RFC 3629: no surrogates, no overlong forms), or nothing.
[[nodiscard]] std::optional<std::size_t> invalid_utf8_at(std::string_view text);

/// `text` with every maximal piece that is not UTF-8 replaced by U+FFFD (The Unicode Standard 15.0, section 3.9,
/// "U+FFFD Substitution of Maximal Subparts").
[[nodiscard]] std::string utf8_lossy(std::string_view text);

/// The code point that begins at `at`; moves `at` behind it. `text` is valid UTF-8.
[[nodiscard]] char32_t next_code_point(std::string_view text, std::size_t& at) noexcept;
/// Bytes of the code point whose first byte this is.
[[nodiscard]] std::size_t utf8_length(char first) noexcept;
void append_utf8(std::string& text, char32_t code_point);

// Properties and normal forms are those of the installed utf8proc (2.8: Unicode 15). The tables of the tokenizers
// package are older (punctuation, marks and NFKC are those of Unicode 8 to 11), so rare characters that are younger
// than those may get other ids under a normalizer or a Punctuation step. Split expressions agree on every character of
// planes 0 and 1.

[[nodiscard]] constexpr bool in_range(char32_t code_point, char32_t first, char32_t last) noexcept {
  return code_point >= first && code_point <= last;
}
[[nodiscard]] bool is_white_space(char32_t code_point) noexcept;      ///< property White_Space
[[nodiscard]] bool is_word(char32_t code_point) noexcept;             ///< `\w` of UTS #18, annex C
[[nodiscard]] bool is_numeric(char32_t code_point) noexcept;          ///< categories Nd, Nl, No
[[nodiscard]] bool is_punctuation(char32_t code_point) noexcept;      ///< categories P*, and all of ASCII's punctuation
[[nodiscard]] bool is_mark(char32_t code_point) noexcept;             ///< categories M*
[[nodiscard]] bool is_nonspacing_mark(char32_t code_point) noexcept;  ///< category Mn
[[nodiscard]] bool is_other(char32_t code_point) noexcept;            ///< categories C*, but what is not assigned
/// The end of the extended grapheme cluster (UAX #29) that begins at `at` < text.size().
[[nodiscard]] std::size_t grapheme_end(std::string_view text, std::size_t at) noexcept;

enum class NormalForm { nfc, nfd, nfkc, nfkd };
/// Normalisation of UAX #15.
[[nodiscard]] std::string to_normal_form(std::string_view text, NormalForm form);
/// Every code point's own lower case, whatever stands around it (so no final sigma).
[[nodiscard]] std::string to_lower_case(std::string_view text);

}  // namespace qcqa
