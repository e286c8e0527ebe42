#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "qcqa/support/error.hpp"

namespace qcqa {

/// The Error for a failed system call: not_found where nothing is there (links that lead nowhere or in a circle have
/// their own wording, as has a full disk), else io.
/// @param action        "cannot be opened", "cannot be written", ...
/// @param error         of errno
/// @param bytes_needed  mentioned when the disk is full; 0 = unknown
[[nodiscard]] Error error_of_errno(const std::filesystem::path& path, std::string_view action, int error,
                                   std::uint64_t bytes_needed = 0);

[[nodiscard]] bool disk_is_full(int error) noexcept;

/// The Error for an input without permission to read: a matter of what was given, not of the disk.
[[nodiscard]] Error unreadable(const std::filesystem::path& path);

}  // namespace qcqa
