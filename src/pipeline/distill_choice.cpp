#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>

#include "pipeline/step_budget.hpp"
#include "qcqa/pipeline/distill.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Of the tokens that were asked for, tried in this order.
constexpr std::array kSharesOfTokens = {1.0, 0.5, 0.25, 0.125, 0.0625};

std::string steps_in_words(const DistillSettings& settings, std::int64_t tokens, int steps) {
  return fmt::format("{} steps of all layers together, {} tokens", steps, settings.calibration.all_tokens(tokens));
}

class Estimate {
 public:
  Estimate(const Model& model, const Model& original, const DistillSettings& settings)
      : model_(model), settings_(settings), speed_(measure_speed(original, settings.forward)) {}

  [[nodiscard]] double seconds(std::int64_t tokens, int steps) const {
    return estimate_distill_seconds(model_, speed_, settings_.options(steps), settings_.calibration.all_tokens(tokens),
                                    settings_.calibration.sampled_tokens(tokens));
  }
  [[nodiscard]] DistillChoice choice(std::int64_t tokens, int steps) const {
    const double seconds = this->seconds(tokens, steps);
    return {.steps = steps,
            .tokens = tokens,
            .seconds = seconds,
            .reason = steps_in_words(settings_, tokens, steps) + ": about " + duration_text(seconds) + " here"};
  }

 private:
  const Model& model_;
  const DistillSettings& settings_;
  ModelSpeed speed_;
};

}  // namespace

DistillChoice choose_distillation(const Model& model, const Model& original, const DistillSettings& settings) {
  const std::int64_t wanted = settings.calibration.tokens;
  if (settings.steps && !settings.dry_run)  // nothing to choose, and only a dry run is to tell how long it takes
    return {.steps = *settings.steps, .tokens = wanted, .reason = steps_in_words(settings, wanted, *settings.steps)};
  const Estimate estimate(model, original, settings);
  if (settings.steps) return estimate.choice(wanted, *settings.steps);
  std::int64_t tokens = wanted;
  for (const double share : kSharesOfTokens) {
    tokens = std::max(std::int64_t{2}, static_cast<std::int64_t>(static_cast<double>(wanted) * share));
    const int steps = steps_within({.seconds = settings.time_limit,
                                    .tokens = settings.calibration.all_tokens(tokens),
                                    .step_tokens = settings.options(1).step_tokens},
                                   [&](int some) { return estimate.seconds(tokens, some); });
    if (steps == 0) continue;
    DistillChoice choice = estimate.choice(tokens, steps);
    choice.reason += ", within --time-limit " + duration_text(settings.time_limit);
    return choice;
  }
  throw Error(ErrorKind::invalid_argument, "--time-limit", "leaves too few steps to be worth it",
              fmt::format("{}; one step on {} tokens would be done after {}", duration_text(settings.time_limit),
                          settings.calibration.all_tokens(tokens), duration_text(estimate.seconds(tokens, 1))),
              "Give more time, fewer --calibration-tokens, or the number of --distill-steps.");
}

}  // namespace qcqa
