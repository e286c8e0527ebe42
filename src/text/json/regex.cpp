#include "text/json/regex.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "qcqa/support/error.hpp"
#include "support/in_quotes.hpp"
#include "text/tokenizer_view.hpp"
#include "text/unicode/unicode.hpp"

namespace qcqa {
namespace {

constexpr std::size_t kSmallStack = std::size_t{64} << 10;
constexpr std::size_t kLargestStack = std::size_t{256} << 20;

std::string message_of(int code) {
  char text[256] = "";
  pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
  return text;
}

PCRE2_SPTR bytes(std::string_view text) {
  // An empty view may have no address, and PCRE2 insists on one.
  return reinterpret_cast<PCRE2_SPTR>(text.data() != nullptr ? text.data() : "");
}

/// What one search needs beside the compiled pattern.
class Search {
 public:
  Search(const pcre2_code* code, std::string_view text, const std::string& where)
      : code_(code), text_(text), where_(where), data_(pcre2_match_data_create(1, nullptr), &pcre2_match_data_free) {
    if (!data_) throw std::bad_alloc();
  }

  /// Finds the next match at or after `from`.
  bool next(std::size_t from, TextRange& match) {
    int count = run(from);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT && !stack_) {
      enlarge_stack();
      count = run(from);
    }
    if (count == PCRE2_ERROR_NOMATCH) return false;
    if (count < 0) {
      throw Error(ErrorKind::unsupported, where_, "the pattern could not be applied to the text", message_of(count),
                  kUseTokenIds);
    }
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data_.get());
    match = {bounds[0], bounds[1]};
    if (match.begin > match.end || match.begin < from) {  // \K in a look-around can do that
      throw Error(ErrorKind::unsupported, where_, "\\K in a pattern is not supported", {}, kUseTokenIds);
    }
    return true;
  }

 private:
  int run(std::size_t from) {
    return pcre2_match(code_, bytes(text_), text_.size(), from, PCRE2_NO_UTF_CHECK, data_.get(), context_.get());
  }

  void enlarge_stack() {
    stack_.reset(pcre2_jit_stack_create(kSmallStack, kLargestStack, nullptr));
    context_.reset(pcre2_match_context_create(nullptr));
    if (!stack_ || !context_) throw std::bad_alloc();
    pcre2_jit_stack_assign(context_.get(), nullptr, stack_.get());
  }

  const pcre2_code* code_;
  std::string_view text_;
  const std::string& where_;
  std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> data_;
  std::unique_ptr<pcre2_jit_stack, decltype(&pcre2_jit_stack_free)> stack_{nullptr, &pcre2_jit_stack_free};
  std::unique_ptr<pcre2_match_context, decltype(&pcre2_match_context_free)> context_{nullptr,
                                                                                     &pcre2_match_context_free};
};

}  // namespace

Regex::Regex(std::string_view ruby_pattern, std::string where) : where_(std::move(where)) {
  if (ruby_pattern.size() > 100'000) {
    throw Error(ErrorKind::unsupported, where_, "a pattern has at most 100000 bytes",
                std::to_string(ruby_pattern.size()));
  }
  const std::string pattern = pcre_pattern(ruby_pattern, where_);
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE position = 0;
  // In Ruby ^ and $ always mean lines.
  pcre2_code* code =
      pcre2_compile(bytes(pattern), pattern.size(), PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                    &error, &position, context.get());
  if (code == nullptr) {
    throw Error(
        ErrorKind::unsupported, where_, "the regular expression is not supported",
        message_of(error) + " at " + in_quotes(utf8_lossy(std::string_view(pattern).substr(position).substr(0, 40))),
        kUseTokenIds);
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // where there is no JIT, the interpreter runs
  code_ = std::shared_ptr<const void>(
      code, [](const void* owned) { pcre2_code_free(static_cast<pcre2_code*>(const_cast<void*>(owned))); });
}

std::string Regex::escape(std::string_view literal) {
  std::string result;
  for (const char c : literal) {
    if (c >= 0 && is_punctuation(static_cast<char32_t>(c))) {
      result += '\\';
      result += c;
    } else if (c == '\0') {
      result += "\\x{0}";
    } else {
      result += c;
    }
  }
  return result;
}

std::vector<TextRange> Regex::matches(std::string_view text) const {
  std::vector<TextRange> result;
  Search search(static_cast<const pcre2_code*>(code_.get()), text, where_);
  TextRange match;
  for (std::size_t from = 0; from <= text.size() && search.next(from, match);) {
    const bool is_empty = match.begin == match.end;
    if (!is_empty || result.empty() || result.back().end != match.end) result.push_back(match);
    from = match.end;
    if (is_empty) from += from < text.size() ? utf8_length(text[from]) : 1;
  }
  return result;
}

}  // namespace qcqa
