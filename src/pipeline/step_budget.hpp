#pragma once

#include <cstdint>
#include <functional>
#include <string>

namespace qcqa {

/// What steps have to keep to.
struct StepBudget {
  double seconds = 0;            ///< for all of the work
  std::int64_t tokens = 0;       ///< of the text
  std::int64_t step_tokens = 1;  ///< of a step
};

/// As many steps as there is time for, but not more than the text is good for; nothing where those are too few to be
/// worth the text.
/// @param seconds_with  so many steps -> seconds of all the work, rising with them
[[nodiscard]] int steps_within(const StepBudget& budget, const std::function<double(int)>& seconds_with);

/// "90 s", "12 min", "2.5 h"
[[nodiscard]] std::string duration_text(double seconds);

}  // namespace qcqa
