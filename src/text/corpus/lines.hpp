#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>

namespace qcqa {

/// Bytes of one line of text or of token ids, at most.
inline constexpr std::size_t kLongestLine = std::size_t{1} << 28;

/// Hands every line of `file` that is not blank to `take(line, "FILE, line N")` until it returns false.
/// @throws Error(not_found, io); Error(unsupported) naming a line of more than `longest` bytes
void for_each_line(const std::filesystem::path& file, std::size_t longest,
                   const std::function<bool(const std::string&, const std::string&)>& take);

}  // namespace qcqa
