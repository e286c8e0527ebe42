#pragma once

#include <cstddef>

namespace qcqa {

/// A head, a group or a layer as the place of it in a vector.
constexpr std::size_t at(int i) noexcept { return static_cast<std::size_t>(i); }

}  // namespace qcqa
