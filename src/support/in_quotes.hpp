#pragma once

#include <string>
#include <string_view>

namespace qcqa {

/// `text` in double quotes, for error messages. (Written with append: the obvious chain of + makes
/// GCC 12 warn about an overlap that is not there.)
[[nodiscard]] inline std::string in_quotes(std::string_view text) {
  std::string result;
  result.reserve(text.size() + 2);
  result.append(1, '"').append(text).append(1, '"');
  return result;
}

}  // namespace qcqa
