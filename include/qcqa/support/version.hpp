#pragma once

#include <string_view>

namespace qcqa {

/// "0.1.0"
[[nodiscard]] std::string_view version() noexcept;

/// The git commit this was built from ("-dirty" when the tree had changes), or "unknown" outside a checkout.
[[nodiscard]] std::string_view commit() noexcept;

}  // namespace qcqa
