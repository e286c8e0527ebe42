#include "qcqa/pipeline/merge_choice.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "pipeline/calibration.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/merge/estimate.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

/// What is tried, best first: shares of the tokens and steps that were asked for.
struct Candidate {
  MergeKind kind;
  double share;
};
constexpr std::array<Candidate, 7> kCandidates = {{{MergeKind::reconstruct, 1},
                                                   {MergeKind::reconstruct, 0.5},
                                                   {MergeKind::reconstruct, 0.25},
                                                   {MergeKind::refit, 0.25},
                                                   {MergeKind::refit, 0.0625},
                                                   {MergeKind::subspace, 0.5},
                                                   {MergeKind::subspace, 0.125}}};

MergeChoice share_of(const MergeSettings& merge, const CalibrationSettings& calibration, const Candidate& candidate) {
  MergeChoice choice{
      .kind = candidate.kind, .reconstruct = merge.reconstruct, .calibration = calibration, .reason = {}};
  choice.calibration.tokens =
      std::max<std::int64_t>(2, static_cast<std::int64_t>(static_cast<double>(calibration.tokens) * candidate.share));
  choice.reconstruct.steps = static_cast<int>(merge.reconstruct.steps * candidate.share);
  choice.reconstruct.distill_steps = static_cast<int>(merge.reconstruct.distill_steps * candidate.share);
  return choice;
}

double estimate(const Model& model, const ModelSpeed& speed, const MergeChoice& choice, std::uint64_t memory,
                const ForwardOptions& forward) {
  const auto sources = static_cast<std::int64_t>(choice.calibration.sources.size());
  const std::int64_t sampled = choice.calibration.samples() ? choice.calibration.tokens : 0;
  const MergeOptions options{
      .kind = choice.kind, .reconstruct = choice.reconstruct, .seed = 0, .memory = memory, .forward = forward};
  return estimate_merge_seconds(model, speed, options, sources * choice.calibration.tokens, sampled);
}

std::string duration(double seconds) {
  return seconds < 90     ? fmt::format("{:.0f} s", std::max(1.0, seconds))
         : seconds < 5400 ? fmt::format("{:.0f} min", seconds / 60)
                          : fmt::format("{:.1f} h", seconds / 3600);
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

}  // namespace

MergeChoice choose_merge(const Model& model, const MergeSettings& merge, const CalibrationSettings& calibration,
                         const ForwardOptions& forward) {
  MergeChoice simple{
      .kind = MergeKind::mean, .reconstruct = merge.reconstruct, .calibration = calibration, .reason = {}};
  try {
    (void)require_runnable(model);
  } catch (const Error& error) {
    simple.reason = std::string("it cannot be run here: ") + error.what();
    return simple;
  }
  simple.kind = MergeKind::aligned;
  CalibrationSettings wanted = calibration;
  const std::string no_self = add_self(model, wanted);
  if (!wanted.given()) {
    simple.reason = "there is nothing to calibrate on: " + no_self;
    return simple;
  }
  const ModelSpeed speed = measure_speed(model, forward);
  double least = 0;
  for (const Candidate& candidate : kCandidates) {
    MergeChoice choice = share_of(merge, wanted, candidate);
    least = estimate(model, speed, choice, merge.memory, forward);
    if (least > merge.time_limit) continue;
    choice.reason = "about " + duration(least) + " here, within --time-limit " + duration(merge.time_limit);
    return choice;
  }
  simple.calibration.sources = {};
  simple.reason =
      "all else would take " + duration(least) + " or more, beyond --time-limit " + duration(merge.time_limit);
  return simple;
}

std::string reconstruct_hint(const Model& model, const MergeSettings& merge, const CalibrationSettings& calibration,
                             const ForwardOptions& forward) {
  MergeChoice wanted{
      .kind = MergeKind::reconstruct, .reconstruct = merge.reconstruct, .calibration = calibration, .reason = {}};
  try {
    (void)require_runnable(model);
    (void)add_self(model, wanted.calibration);
    if (!wanted.calibration.given()) return {};
    std::string sources;
    for (const std::string& source : wanted.calibration.sources) sources += " --calibrate " + source;
    return "--merge reconstruct" + sources + " would keep far more of the model's quality; it takes about " +
           duration(estimate(model, measure_speed(model, forward), wanted, merge.memory, forward)) + " here.";
  } catch (const Error&) {  // the conversion is done: a hint must not fail it
    return {};
  }
}

}  // namespace qcqa
