#include "text/json/bert_steps.hpp"

#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

/// The blocks that BERT's published tokenizer counts as Chinese.
bool is_chinese(char32_t c) {
  return in_range(c, 0x4E00, 0x9FFF) || in_range(c, 0x3400, 0x4DBF) || in_range(c, 0x20000, 0x2A6DF) ||
         in_range(c, 0x2A700, 0x2B73F) || in_range(c, 0x2B740, 0x2B81F) || in_range(c, 0x2B920, 0x2CEAF) ||
         in_range(c, 0xF900, 0xFAFF) || in_range(c, 0x2F800, 0x2FA1F);
}

bool is_line_space(char32_t c) { return c == '\t' || c == '\n' || c == '\r'; }

template <typename Rewrite>
std::string each_code_point(std::string_view text, Rewrite&& rewrite) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    const char32_t c = next_code_point(text, at);
    rewrite(c, text.substr(begin, at - begin), result);
  }
  return result;
}

std::string cleaned(std::string_view text) {
  return each_code_point(text, [](char32_t c, std::string_view spelling, std::string& result) {
    if (c == 0 || c == 0xFFFD || (is_other(c) && !is_line_space(c))) return;
    result += is_white_space(c) ? std::string_view(" ") : spelling;
  });
}

std::string with_chinese_apart(std::string_view text) {
  return each_code_point(text, [](char32_t c, std::string_view spelling, std::string& result) {
    if (!is_chinese(c)) {
      result += spelling;
    } else {
      result.append(" ").append(spelling).append(" ");
    }
  });
}

std::string without_accents(std::string_view text) {
  return each_code_point(to_normal_form(text, NormalForm::nfd),
                         [](char32_t c, std::string_view spelling, std::string& result) {
                           if (!is_nonspacing_mark(c)) result += spelling;
                         });
}

}  // namespace

Normalizer make_bert_normalizer(const JsonView& description) {
  const bool lower = description.flag_or("lowercase", true);
  const bool accents = !description.flag_or("strip_accents", lower);  // null: as lowercase
  const bool cleans = description.flag_or("clean_text", true);
  const bool chinese = description.flag_or("handle_chinese_chars", true);
  return [=](std::string_view text) {
    std::string result(text);
    if (cleans) result = cleaned(result);
    if (chinese) result = with_chinese_apart(result);
    if (!accents) result = without_accents(result);
    if (lower) result = to_lower_case(result);
    return result;
  };
}

std::string normalize_nmt(std::string_view text) {
  return each_code_point(text, [](char32_t c, std::string_view spelling, std::string& result) {
    if (in_range(c, 0x01, 0x08) || c == 0x0B || in_range(c, 0x0E, 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F) return;
    const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 || in_range(c, 0x200B, 0x200F) ||
                       c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
    result += space ? std::string_view(" ") : spelling;
  });
}

}  // namespace qcqa
