#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qcqa {

/// Bytes [begin, end) of a text.
struct TextRange {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// A regular expression of a tokenizer file. Those are written for Oniguruma in its Ruby syntax; PCRE2 is what Debian
/// keeps and what compiles to machine code, so the few constructs that the two read differently are rewritten or
/// refused.
class Regex {
 public:
  /// @param where  for error messages
  /// @throws Error(unsupported) naming the construct
  Regex(std::string_view ruby_pattern, std::string where);

  /// A pattern that matches exactly `literal`.
  [[nodiscard]] static std::string escape(std::string_view literal);

  /// All matches from left to right; an empty match right after another match is left out.
  /// @throws Error(unsupported) when the pattern needs too many steps on this text
  [[nodiscard]] std::vector<TextRange> matches(std::string_view text) const;

 private:
  std::string where_;
  std::shared_ptr<const void> code_;
};

/// The pattern in PCRE2's syntax. @throws Error(unsupported)
[[nodiscard]] std::string pcre_pattern(std::string_view ruby_pattern, const std::string& where);

}  // namespace qcqa
