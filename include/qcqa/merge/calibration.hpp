#pragma once

#include <cstdint>
#include <span>

namespace qcqa {

/// Sequences of token ids that a model is run over to see what its heads do.
using CalibrationSequences = std::span<const std::span<const std::int32_t>>;

}  // namespace qcqa
