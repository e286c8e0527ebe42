#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace qcqa {

/// Bytes of one line of text or of token ids, at most.
inline constexpr std::size_t kLongestLine = std::size_t{1} << 28;

/// Hands every line of `file` that is not blank to `take(line, "FILE, line N")` until it returns false.
/// @throws Error(not_found, io); Error(unsupported) naming a line of more than `longest` bytes
void for_each_line(const std::filesystem::path& file, std::size_t longest,
                   const std::function<bool(const std::string&, const std::string&)>& take);

/// The JSON object that a line is. @throws Error(corrupt) with `where` and `fix`
[[nodiscard]] nlohmann::json object_of_line(const std::string& line, const std::string& where, std::string_view fix);

}  // namespace qcqa
