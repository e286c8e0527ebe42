#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pipeline/step_budget.hpp"
#include "qcqa/pipeline/distill.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Of the tokens that were asked for, tried in this order.
constexpr std::array kSharesOfTokens = {1.0, 0.5, 0.25, 0.125, 0.0625};

class Estimate {
 public:
  Estimate(const Model& model, const Model& original, const DistillSettings& settings)
      : model_(model), settings_(settings), speed_(measure_speed(original, settings.forward)) {}

  [[nodiscard]] std::int64_t all_tokens(std::int64_t tokens) const {
    return static_cast<std::int64_t>(settings_.calibration.sources.size()) * tokens;
  }
  [[nodiscard]] double seconds(std::int64_t tokens, int steps) const {
    return estimate_distill_seconds(model_, speed_, settings_.options(steps), all_tokens(tokens),
                                    settings_.calibration.samples() ? tokens : 0);
  }
  [[nodiscard]] DistillChoice choice(std::int64_t tokens, int steps) const {
    const double seconds = this->seconds(tokens, steps);
    return {.steps = steps,
            .tokens = tokens,
            .seconds = seconds,
            .reason = fmt::format("{} steps of all layers together, {} tokens: about {} here", steps,
                                  all_tokens(tokens), duration_text(seconds))};
  }

 private:
  const Model& model_;
  const DistillSettings& settings_;
  ModelSpeed speed_;
};

}  // namespace

DistillChoice choose_distillation(const Model& model, const Model& original, const DistillSettings& settings) {
  const Estimate estimate(model, original, settings);
  const std::int64_t wanted = settings.calibration.tokens;
  if (settings.steps) return estimate.choice(wanted, *settings.steps);
  std::int64_t tokens = wanted;
  for (const double share : kSharesOfTokens) {
    tokens = std::max(std::int64_t{2}, static_cast<std::int64_t>(static_cast<double>(wanted) * share));
    const int steps = steps_within({.seconds = settings.time_limit,
                                    .tokens = estimate.all_tokens(tokens),
                                    .step_tokens = settings.options(1).step_tokens},
                                   [&](int some) { return estimate.seconds(tokens, some); });
    if (steps == 0) continue;
    DistillChoice choice = estimate.choice(tokens, steps);
    choice.reason += ", within --time-limit " + duration_text(settings.time_limit);
    return choice;
  }
  throw Error(ErrorKind::invalid_argument, "--time-limit", "leaves too few steps to be worth it",
              fmt::format("{}; one step on {} tokens would be done after {}", duration_text(settings.time_limit),
                          estimate.all_tokens(tokens), duration_text(estimate.seconds(tokens, 1))),
              "Give more time, fewer --calibration-tokens, or the number of --distill-steps.");
}

}  // namespace qcqa
