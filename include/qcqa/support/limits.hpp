#pragma once

namespace qcqa {

/// KV heads per layer the tool accepts: group labels fit a byte.
inline constexpr int kMaxKvHeads = 256;

}  // namespace qcqa
