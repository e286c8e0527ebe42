#include "cli/ladder_step.hpp"

#include <algorithm>

#include "report/text_table.hpp"

namespace qcqa::cli {
namespace {

constexpr std::size_t kJudgedTokens = 8192;
constexpr std::size_t kHoldBackEvery = 32;

std::vector<TokenSequence> first_of(std::span<const TokenSequence> windows) {
  std::vector<TokenSequence> some;
  std::size_t tokens = 0;
  for (const TokenSequence& window : windows) {
    if (tokens >= kJudgedTokens) break;
    some.push_back(window);
    tokens += window.ids.size();
  }
  return some;
}

}  // namespace

TokenSequences hold_back(TokenSequences& calibration) {
  TokenSequences held, kept;
  const std::size_t every = std::min(kHoldBackEvery, std::max<std::size_t>(2, calibration.size() / 2));
  for (std::size_t i = 0; i < calibration.size(); ++i) {
    (i % every == every - 1 ? held : kept).add(calibration.ids()[i]);
  }
  calibration = std::move(kept);
  return held;
}

std::vector<MergeRung> climb_ladder(const Model& model, const Plan& plan, const TokenSequences& calibration,
                                    std::span<const TokenSequence> windows, const MergeStep& merged,
                                    const MergeOptions& options, Console& console) {
  const std::vector<TokenSequence> some = first_of(windows);
  const ProgressFn progress = console.progress();
  std::vector<MergeRung> rungs;
  const auto judge = [&](const std::string& name, const Model& candidate) {
    rungs.push_back(
        {name, evaluate(candidate, nullptr, some, {.forward = options.forward, .layers = {}}, progress).perplexity});
  };
  judge("original", model);
  for (const MergeKind kind : {MergeKind::mean, MergeKind::aligned, MergeKind::subspace}) {
    if (kind == options.kind) break;
    MergeOptions lower = options;
    lower.kind = kind;
    const bool calibrated = kind == MergeKind::subspace;
    const std::filesystem::path folder = merged.scratch() / std::string(merge_kind_name(kind));
    const MergeResult result = merge_model(model, plan, calibrated ? calibration.all() : std::vector<TokenSequence>{},
                                           lower, folder, progress);
    judge(std::string(merge_kind_name(kind)), result.model);
  }
  judge(std::string(merge_kind_name(options.kind)), merged.model());
  std::string text = "perplexity";
  for (const MergeRung& rung : rungs) {
    text += (rung.name == "mean"               ? "; merged: "
             : rungs.front().name == rung.name ? " "
                                               : " -> ") +
            rung.name + " " + format_number("%.4g", rung.perplexity);
  }
  console.note(text);
  return rungs;
}

}  // namespace qcqa::cli
