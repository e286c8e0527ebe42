#include "cli/merge_choice.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "qcqa/forward/runnable.hpp"
#include "qcqa/merge/estimate.hpp"
#include "qcqa/support/error.hpp"
#include "report/text_table.hpp"

namespace qcqa::cli {
namespace {

/// What is tried, best first: shares of the tokens and steps that were asked for.
struct Candidate {
  MergeKind kind;
  double share;
};
constexpr std::array<Candidate, 5> kCandidates = {{{MergeKind::reconstruct, 1},
                                                   {MergeKind::reconstruct, 0.5},
                                                   {MergeKind::reconstruct, 0.25},
                                                   {MergeKind::subspace, 0.5},
                                                   {MergeKind::subspace, 0.125}}};

MergeFlags with_kind(const MergeFlags& flags, MergeKind kind) {
  MergeFlags chosen = flags;
  chosen.merge = merge_kind_name(kind);
  return chosen;
}

MergeFlags share_of(const MergeFlags& flags, const Candidate& candidate) {
  MergeFlags chosen = with_kind(flags, candidate.kind);
  chosen.calibration.tokens = std::max<std::int64_t>(
      2, static_cast<std::int64_t>(static_cast<double>(flags.calibration.tokens) * candidate.share));
  chosen.steps = static_cast<int>(flags.steps * candidate.share);
  chosen.distill_steps = static_cast<int>(flags.distill_steps * candidate.share);
  return chosen;
}

double estimate(const Model& model, const ModelSpeed& speed, const MergeFlags& flags, const ForwardOptions& forward) {
  const auto sources = static_cast<std::int64_t>(flags.calibration.sources.size());
  const std::int64_t sampled = flags.calibration.samples() ? flags.calibration.tokens : 0;
  return estimate_merge_seconds(model, speed, flags.resolve(forward), sources * flags.calibration.tokens, sampled);
}

std::string minutes(double seconds) {
  return seconds < 90     ? format_number("%.0f s", std::max(1.0, seconds))
         : seconds < 5400 ? format_number("%.0f min", seconds / 60)
                          : format_number("%.1f h", seconds / 3600);
}

/// Adds `self` where the model can make up text.
std::string add_self(const Model& model, MergeFlags& flags) {
  if (flags.calibration.samples()) return {};
  try {
    (void)bos_token(model);
  } catch (const Error& error) {
    return error.what();
  }
  flags.calibration.sources.emplace_back(kSelf);
  return {};
}

}  // namespace

MergeChoice choose_merge(const Model& model, const MergeFlags& flags, const ForwardOptions& forward) {
  MergeFlags wanted = flags;
  try {
    (void)require_runnable(model);
  } catch (const Error& error) {
    return {with_kind(wanted, MergeKind::mean), std::string("it cannot be run here: ") + error.what()};
  }
  const std::string no_self = add_self(model, wanted);
  if (!wanted.calibration.given())
    return {with_kind(wanted, MergeKind::aligned), "there is nothing to calibrate on: " + no_self};
  const double limit = parse_duration(flags.time_limit, "--time-limit");
  const ModelSpeed speed = measure_speed(model, forward);
  double least = 0;
  for (const Candidate& candidate : kCandidates) {
    const MergeFlags chosen = share_of(wanted, candidate);
    least = estimate(model, speed, chosen, forward);
    if (least > limit) continue;
    return {chosen, "about " + minutes(least) + " here, within --time-limit " + flags.time_limit};
  }
  wanted.calibration.sources = {};
  return {with_kind(wanted, MergeKind::aligned),
          "all else would take " + minutes(least) + " or more, beyond --time-limit " + flags.time_limit};
}

std::string reconstruct_hint(const Model& model, const MergeFlags& flags, const ForwardOptions& forward) {
  MergeFlags wanted = with_kind(flags, MergeKind::reconstruct);
  try {
    (void)require_runnable(model);
    (void)add_self(model, wanted);
    if (!wanted.calibration.given()) return {};
    std::string sources;
    for (const std::string& source : wanted.calibration.sources) sources += " --calibrate " + source;
    return "--merge reconstruct" + sources + " would keep far more of the model's quality; it takes about " +
           minutes(estimate(model, measure_speed(model, forward), wanted, forward)) + " here.";
  } catch (const Error&) {  // the conversion is done: a hint must not fail it
    return {};
  }
}

double parse_duration(const std::string& text, const std::string& option) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  static constexpr std::array<std::pair<std::string_view, double>, 4> kUnits = {
      {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  for (const auto& [name, seconds] : kUnits) {
    if (error == std::errc() && unit == name && number > 0 && number * seconds < 1e9) return number * seconds;
  }
  throw Error(ErrorKind::invalid_argument, option, "must be a positive time such as 90s, 30m or 1.5h", text);
}

}  // namespace qcqa::cli
