#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace qcqa {

/// Number of single-character insertions, deletions and replacements that turn one name into the
/// other; anything above `limit` is reported as limit + 1, which keeps a search over many names
/// cheap.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit);

/// The candidate most like `wanted`, for "did you mean" hints; nothing when none is close (a third
/// of the characters, at least two, may differ). The first of several equally close ones.
[[nodiscard]] std::optional<std::string_view> nearest_name(std::string_view wanted,
                                                           std::span<const std::string_view> candidates);

/// The sentence `Did you mean "x"?`, or nothing to say.
[[nodiscard]] std::string did_you_mean(std::string_view wanted, std::span<const std::string_view> candidates);

}  // namespace qcqa
