#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

namespace qcqa {

/// Where a long computation stands. Reported from any thread, one report at a time.
struct ProgressEvent {
  std::string_view phase;  ///< "layers", "model", ...
  std::int64_t done = 0;   ///< units finished, monotone within a phase
  std::int64_t total = 0;
};

/// Called now and then; returning false asks the computation to stop at the next safe point.
using ProgressFn = std::function<bool(const ProgressEvent&)>;

enum class StopReason { completed, interrupted };

}  // namespace qcqa
