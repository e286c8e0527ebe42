#include <algorithm>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"
#include "text/json/regex.hpp"
#include "text/tokenizer_view.hpp"

namespace qcqa {
namespace {

// Oniguruma's \w is "Letter | Mark | Decimal_Number | Connector_Punctuation"; PCRE2's has all numbers and no marks.
constexpr std::string_view kWord = R"(\p{L}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kHexDigit = "0-9A-Fa-f";

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : pattern_(pattern), where_(where) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      const char c = pattern_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_character(c);
      } else if (c == '[') {
        open_class();
      } else if (c == '(' && rest(2) == "(?") {
        group_options();
      } else if (c == '(' && rest(2) == "(*") {
        refuse("\"(*\"");
      } else if (c == '{') {
        copy(std::min(pattern_.find('}', at_), pattern_.size() - 1) + 1 - at_);
        // After an interval Ruby's + repeats, PCRE2's + forbids backtracking.
        if (rest(1) == "+") refuse("\"+\" after an interval");
      } else {
        copy(1);
      }
    }
    return std::move(result_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw Error(ErrorKind::unsupported, where_, std::string(what) + " in a regular expression is not supported", {},
                kUseTokenIds);
  }

  [[nodiscard]] std::string_view rest(std::size_t count) const { return pattern_.substr(at_, count); }

  void copy(std::size_t count) {
    result_ += rest(count);
    at_ += count;
  }

  void put(std::size_t consumed, std::string_view text) {
    at_ += consumed;
    result_ += text;
  }

  void set(std::string_view members, bool negated) {
    if (in_class_) {
      if (negated) refuse("a negated set of several kinds inside [...]");
      put(2, members);
    } else {
      put(2, negated ? "[^" : "[");
      result_.append(members).append("]");
    }
  }

  void escape() {
    if (at_ + 1 >= pattern_.size()) refuse("a backslash at the end");
    const char c = pattern_[at_ + 1];
    switch (c) {
      case 's':  // PCRE2's \s also has U+180E
        return put(2, R"(\p{White_Space})");
      case 'S':
        return put(2, R"(\P{White_Space})");
      case 'w':
      case 'W':
        return set(kWord, c == 'W');
      case 'h':  // in PCRE2: horizontal space
      case 'H':
        return set(kHexDigit, c == 'H');
      case 'u':
        return unicode_escape();
      case 'K':
      case 'Q':  // begins a literal in PCRE2, nothing in Ruby
      case 'E':
        refuse(pattern_.substr(at_, 2));
      default:
        copy(2);
        if (rest(1) == "{") copy_name();  // \p{L}, \x{2581}
    }
  }

  void copy_name() {
    const auto end = pattern_.find('}', at_);
    if (end == std::string_view::npos) refuse("\"{\" without \"}\"");
    copy(end + 1 - at_);
  }

  void unicode_escape() {
    const std::string_view digits = pattern_.substr(at_ + 2, 4);
    if (digits.size() < 4) refuse("\\u without four digits");
    for (const char c : digits) {
      if (!is_hex(c)) refuse("\\u without four digits");
    }
    at_ += 6;
    result_.append("\\x{").append(digits).append("}");
  }

  void open_class() {
    in_class_ = true;
    copy(1);
    if (rest(1) == "^") copy(1);
    if (rest(1) == "]") put(1, "\\]");
  }

  void class_character(char c) {
    if (c == ']') {
      in_class_ = false;
      copy(1);
    } else if (rest(2) == "[:") {
      const auto end = pattern_.find(":]", at_);
      if (end == std::string_view::npos) refuse("\"[:\" without \":]\"");
      copy(end + 2 - at_);
    } else if (c == '[') {
      refuse("a set inside [...]");
    } else if (rest(2) == "&&") {
      refuse("\"&&\" inside [...]");
    } else {
      copy(1);
    }
  }

  /// "(?" with option letters: Ruby's m is PCRE2's s. Groups of other kinds are written alike.
  void group_options() {
    copy(2);
    while (at_ < pattern_.size() && (pattern_[at_] == '-' || (pattern_[at_] >= 'a' && pattern_[at_] <= 'z'))) {
      const char c = pattern_[at_];
      if (c == 'x') refuse("the extended syntax");
      if (c == 'm') {
        put(1, "s");
      } else {
        copy(1);
      }
    }
  }

  std::string_view pattern_;
  const std::string& where_;
  std::string result_;
  std::size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

std::string pcre_pattern(std::string_view ruby_pattern, const std::string& where) {
  return Translator(ruby_pattern, where).run();
}

}  // namespace qcqa
