#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

namespace qcqa {

/// A path that a file from elsewhere states relative to its folder, without the "./"; nothing when it would lead out of
/// the folder.
[[nodiscard]] inline std::optional<std::filesystem::path> inner_path(std::string_view text) {
  if (text.find_first_of(std::string_view("\\\0", 2)) != std::string_view::npos) return std::nullopt;
  const std::filesystem::path path(text);
  if (path.is_absolute()) return std::nullopt;
  for (const auto& part : path) {
    if (part == "..") return std::nullopt;
  }
  std::filesystem::path normal = path.lexically_normal();
  if (!normal.has_filename() || normal == ".") return std::nullopt;
  return normal;
}

}  // namespace qcqa
