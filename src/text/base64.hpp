#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace qcqa {

/// The bytes that a text in base64 (RFC 4648, section 4, with padding) stands for; nothing when it is none.
[[nodiscard]] std::optional<std::string> bytes_of_base64(std::string_view text);

[[nodiscard]] std::string base64_of_bytes(std::string_view bytes);

}  // namespace qcqa
