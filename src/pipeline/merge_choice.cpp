#include "qcqa/pipeline/merge_choice.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "pipeline/calibration.hpp"
#include "pipeline/plan_trial.hpp"
#include "pipeline/step_budget.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// Steps that take what is left of the time.
enum class Filler {
  none,      ///< as many steps as were asked for, or the same share of them as of the tokens
  layers,    ///< steps layer by layer, and none of all together
  together,  ///< steps of all layers together, and none layer by layer
};

/// What is tried, best first: shares of the tokens and steps that were asked for.
struct Candidate {
  MergeKind kind;
  double share;
  Filler filler = Filler::none;
};
constexpr std::array<Candidate, 13> kCandidates = {{{MergeKind::reconstruct, 1},
                                                    {MergeKind::reconstruct, 0.5},
                                                    {MergeKind::reconstruct, 0.5, Filler::layers},
                                                    {MergeKind::reconstruct, 0.25, Filler::layers},
                                                    {MergeKind::reconstruct, 1, Filler::together},
                                                    {MergeKind::reconstruct, 0.5, Filler::together},
                                                    {MergeKind::reconstruct, 0.25, Filler::together},
                                                    {MergeKind::reconstruct, 0.125, Filler::together},
                                                    {MergeKind::reconstruct, 0.0625, Filler::together},
                                                    {MergeKind::refit, 0.25},
                                                    {MergeKind::refit, 0.0625},
                                                    {MergeKind::subspace, 0.0625},
                                                    {MergeKind::subspace, 0.03125}}};

/// Layers of a model that some hundred steps layer by layer are good for. stories15M (6 layers, half the heads): +0.13
/// nats after 300 of them in 171 s, +0.29 after 452 of all together in 233 s. SmolLM2-135M (30 layers, a third of the
/// heads): 80 of them on 16,384 tokens left the layers' errors as they were.
constexpr std::size_t kMostLayersToFill = 12;

/// The share of the time that steps give up at most so that plans can be compared: they gain more than the better of
/// two plans where time is short.
constexpr double kMostToCompare = 0.25;

MergeChoice share_of(const MergeSettings& merge, const CalibrationSettings& calibration, const Candidate& candidate) {
  MergeChoice choice{
      .kind = candidate.kind, .reconstruct = merge.reconstruct, .calibration = calibration, .reason = {}};
  choice.calibration.tokens =
      std::max<std::int64_t>(2, static_cast<std::int64_t>(static_cast<double>(calibration.tokens) * candidate.share));
  const auto steps = [&](int asked, Filler other) {
    return candidate.filler == other ? 0 : static_cast<int>(asked * candidate.share);
  };
  choice.reconstruct.steps = steps(merge.reconstruct.steps, Filler::together);
  choice.reconstruct.distill_steps = steps(merge.reconstruct.distill_steps, Filler::layers);
  return choice;
}

std::int64_t tokens_of(const MergeChoice& choice) { return choice.calibration.all_tokens(choice.calibration.tokens); }

MergeOptions options_of(const MergeChoice& choice, std::uint64_t memory, const ForwardOptions& forward) {
  return {.kind = choice.kind, .reconstruct = choice.reconstruct, .seed = 0, .memory = memory, .forward = forward};
}

double seconds_to_compare(const Model& model, const ModelSpeed& speed, const MergeChoice& choice, std::uint64_t memory,
                          const ForwardOptions& forward) {
  if (!choice.compares_plans) return 0;
  return estimate_trial_seconds(model, speed, options_of(choice, memory, forward), tokens_of(choice));
}

double estimate(const Model& model, const ModelSpeed& speed, const MergeChoice& choice, std::uint64_t memory,
                const ForwardOptions& forward) {
  const std::int64_t sampled = choice.calibration.sampled_tokens(choice.calibration.tokens);
  const double to_measure =
      choice.measures_layers ? estimate_measuring_seconds(model, speed, options_of(choice, memory, forward)) : 0;
  return to_measure + seconds_to_compare(model, speed, choice, memory, forward) +
         estimate_merge_seconds(model, speed, options_of(choice, memory, forward), tokens_of(choice), sampled);
}

/// As many of the filler's steps as fit into the time; false where those are too few to be worth it.
bool fill(Filler filler, const Model& model, const ModelSpeed& speed, const MergeSettings& merge,
          const ForwardOptions& forward, MergeChoice& choice) {
  const bool by_layer = filler == Filler::layers;
  const int asked = by_layer ? merge.reconstruct.steps : merge.reconstruct.distill_steps;
  if (asked == 0 || (by_layer && model.layers().size() > kMostLayersToFill)) return false;
  const double to_compare = seconds_to_compare(model, speed, choice, merge.memory, forward);
  if (to_compare > kMostToCompare * merge.time_limit) return false;
  int& steps = by_layer ? choice.reconstruct.steps : choice.reconstruct.distill_steps;
  const auto seconds_with = [&](int some) {
    steps = some;
    return estimate(model, speed, choice, merge.memory, forward);
  };
  steps = steps_within(
      {.seconds = merge.time_limit, .tokens = tokens_of(choice), .step_tokens = choice.reconstruct.step_tokens},
      seconds_with);
  if (by_layer) steps = std::min(steps, asked);
  return steps > 0;
}

std::string words_for(const MergeChoice& choice) {
  std::string text;
  if (merge_method(choice.kind).takes_steps) {
    const ReconstructOptions& steps = choice.reconstruct;
    if (steps.steps > 0) text += fmt::format("{} steps per layer, ", steps.steps);
    if (steps.distill_steps > 0) text += fmt::format("{} steps of all layers together, ", steps.distill_steps);
  }
  return text + fmt::format("{} tokens: ", tokens_of(choice));
}

/// Adds `self` where the model can make up text; why it cannot, else.
std::string add_self(const Model& model, CalibrationSettings& calibration) {
  if (calibration.samples()) return {};
  try {
    (void)bos_token(model);
  } catch (const Error& error) {
    return error.what();
  }
  calibration.sources.emplace_back(kSelf);
  return {};
}

/// The merge for this model on this machine, whose speed is measured for so many seconds.
MergeChoice choose_after(double measuring, const Model& model, const MergeSettings& merge,
                         const CalibrationSettings& calibration, const ForwardOptions& forward, ComparePlans plans,
                         MeasureLayers layers) {
  MergeChoice simple{
      .kind = MergeKind::mean, .reconstruct = merge.reconstruct, .calibration = calibration, .reason = {}};
  try {
    (void)require_runnable(model);
  } catch (const Error& error) {
    simple.reason = std::string("it cannot be run here: ") + error.what();
    return simple;
  }
  CalibrationSettings wanted = calibration;
  const std::string no_self = add_self(model, wanted);
  if (wanted.given()) {
    return choose_merge(model, measure_speed(model, forward, measuring), merge, wanted, forward, plans, layers);
  }
  simple.kind = MergeKind::aligned;
  simple.compares_plans = plans == ComparePlans::maybe;  // takes what comparing merges takes
  simple.reason = "there is nothing to calibrate on: " + no_self;
  return simple;
}

}  // namespace

MergeChoice choose_merge(const Model& model, const ModelSpeed& speed, const MergeSettings& merge,
                         const CalibrationSettings& calibration, const ForwardOptions& forward, ComparePlans plans,
                         MeasureLayers layers) {
  const auto fits = [&](const Candidate& candidate, MergeChoice& choice) {
    if (candidate.filler != Filler::none && !fill(candidate.filler, model, speed, merge, forward, choice)) return false;
    choice.seconds = estimate(model, speed, choice, merge.memory, forward);
    return choice.seconds <= merge.time_limit;
  };
  double least = 0;
  for (const Candidate& candidate : kCandidates) {
    MergeChoice choice = share_of(merge, calibration, candidate);
    choice.compares_plans = plans == ComparePlans::maybe;
    choice.measures_layers = layers == MeasureLayers::yes;
    if (!fits(candidate, choice)) {
      choice = share_of(merge, calibration, candidate);
      choice.measures_layers = layers == MeasureLayers::yes;
      if (!fits(candidate, choice)) {
        if (choice.seconds > 0) least = choice.seconds;
        continue;
      }
    }
    std::vector<std::string> more;
    if (choice.measures_layers) more.emplace_back("measured layers");
    if (choice.compares_plans) more.emplace_back("a comparison of two plans");
    choice.reason =
        fmt::format("{}about {} here{}{}, within --time-limit {}", words_for(choice), duration_text(choice.seconds),
                    more.empty() ? "" : " with ", fmt::join(more, " and "), duration_text(merge.time_limit));
    return choice;
  }
  MergeChoice simple{
      .kind = MergeKind::aligned, .reconstruct = merge.reconstruct, .calibration = calibration, .reason = {}};
  simple.calibration.sources = {};
  simple.compares_plans = plans == ComparePlans::maybe;
  simple.compares_plans &= estimate(model, speed, simple, merge.memory, forward) <= merge.time_limit;
  simple.reason = "all else would take " + duration_text(least) + " or more, beyond --time-limit " +
                  duration_text(merge.time_limit);
  return simple;
}

MergeChoice choose_merge(const Model& model, const MergeSettings& merge, const CalibrationSettings& calibration,
                         const ForwardOptions& forward, ComparePlans plans, MeasureLayers layers) {
  return choose_after(kMeasuringSeconds, model, merge, calibration, forward, plans, layers);
}

std::string better_merge(const Model& model, MergeKind used, const MergeSettings& merge,
                         const CalibrationSettings& calibration, const ForwardOptions& forward) {
  if (used == merge_methods().back()->kind) return {};  // measuring the speed takes a while
  try {
    static constexpr double kMeasuring = 0.1;  // a hint is to cost little beside the conversion
    const MergeChoice best =
        choose_after(kMeasuring, model, merge, calibration, forward, ComparePlans::no, MeasureLayers::no);
    if (best.kind <= used || !best.calibration.given()) return {};
    std::string options = "--merge " + std::string(merge_kind_name(best.kind));
    for (const std::string& source : best.calibration.sources) options += " --calibrate " + source;
    const auto add = [&](const char* name, std::int64_t value, std::int64_t usual) {
      if (value != usual) options += fmt::format(" {} {}", name, value);
    };
    add("--calibration-tokens", best.calibration.tokens, CalibrationSettings().tokens);
    if (merge_method(best.kind).takes_steps) {
      add("--reconstruct-steps", best.reconstruct.steps, ReconstructOptions().steps);
      add("--distill-steps", best.reconstruct.distill_steps, ReconstructOptions().distill_steps);
    }
    return options + " would keep far more of the model's quality; it takes about " + duration_text(best.seconds) +
           " here.";
  } catch (const Error&) {  // the conversion is done: a hint must not fail it
    return {};
  }
}

}  // namespace qcqa
