#include "pipeline/step_budget.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace qcqa {
namespace {

/// How often steps see a token: less is not worth its making up, more is learnt by heart.
constexpr double kLeastEpochs = 2, kMostEpochs = 16;

}  // namespace

int steps_within(const StepBudget& budget, const std::function<double(int)>& seconds_with) {
  const double first = seconds_with(1);
  const double each = seconds_with(2) - first;
  if (!(each > 0)) return 0;  // nothing would be done
  const double epoch = static_cast<double>(budget.tokens) / static_cast<double>(budget.step_tokens);
  const auto steps = static_cast<int>(std::clamp(1 + (budget.seconds - first) / each, 0.0, kMostEpochs * epoch));
  return steps >= kLeastEpochs * epoch ? steps : 0;
}

std::string duration_text(double seconds) {
  static constexpr double kLeastMinutes = 5;  // a rounded minute would be too far off below
  return seconds < 60 * kLeastMinutes ? fmt::format("{:.0f} s", std::max(1.0, seconds))
         : seconds < 5400             ? fmt::format("{:.0f} min", seconds / 60)
                                      : fmt::format("{:.1f} h", seconds / 3600);
}

}  // namespace qcqa
