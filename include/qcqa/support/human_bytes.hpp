#pragma once

#include <concepts>
#include <string>

namespace qcqa {

/// "13.5 KiB", "512 KiB", "2.0 GiB": binary units, at most four digits.
[[nodiscard]] std::string human_bytes(double bytes);
[[nodiscard]] std::string human_bytes(std::integral auto bytes) { return human_bytes(static_cast<double>(bytes)); }

}  // namespace qcqa
