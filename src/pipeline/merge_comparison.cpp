#include "pipeline/merge_comparison.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>
#include <string>

#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/merge/estimate.hpp"
#include "qcqa/merge/pooled_model.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

constexpr const char* kStep = "comparison";
constexpr const char* kOriginal = "original";
/// What merges are compared with: each a step up from the one before, and cheap.
constexpr std::array kRungs = {MergeKind::mean, MergeKind::aligned, MergeKind::subspace};

/// Those that `chosen` is compared with, the simplest first, and itself.
std::vector<MergeKind> compared_kinds(MergeKind chosen) {
  std::vector<MergeKind> kinds;
  for (const MergeMethod* method : merge_methods()) {
    const MergeKind kind = method->kind;
    if (kind == chosen || std::ranges::find(kRungs, kind) != kRungs.end()) kinds.push_back(kind);
    if (kind == chosen) break;
  }
  return kinds;
}

/// The perplexities that were measured already, by name.
class KeptPerplexities {
 public:
  explicit KeptPerplexities(RunState& state)
      : state_(state), kept_(state.find(kStep).value_or(nlohmann::json::object())) {
    for (const auto& [name, perplexity] : state.view(kStep, kept_).members()) (void)perplexity.number(0);
  }

  template <typename Measure>
  double of(const std::string& name, const Measure& measure) {
    if (const auto kept = kept_.find(name); kept != kept_.end()) return kept->get<double>();
    const double perplexity = measure();
    kept_[name] = perplexity;
    state_.keep(kStep, kept_);
    return perplexity;
  }

 private:
  RunState& state_;
  nlohmann::json kept_;
};

double measured_perplexity(const Model& model, std::span<const TokenSequence> windows, const ForwardOptions& forward,
                           const Session& session) {
  return evaluate(rounded_model(model, {}), nullptr, windows, {.forward = forward}, session.progress).perplexity;
}

}  // namespace

std::vector<TokenSequence> compared_windows(std::span<const TokenSequence> windows) {
  std::vector<TokenSequence> some;
  std::size_t tokens = 0;
  for (const TokenSequence& window : windows) {
    if (tokens >= kComparedTokens) break;
    some.push_back(window);
    tokens += window.ids.size();
  }
  return some;
}

double original_perplexity(const Model& model, std::span<const TokenSequence> windows, const ForwardOptions& forward,
                           const Session& session, RunState& state) {
  return KeptPerplexities(state).of(kOriginal, [&] { return measured_perplexity(model, windows, forward, session); });
}

MergeLadder compare_merges(const Model& model, MergeKind chosen, const std::function<Model(MergeKind)>& merged_by,
                           std::span<const TokenSequence> windows, const ForwardOptions& forward,
                           const Session& session, RunState& state) {
  const std::vector<TokenSequence> some = compared_windows(windows);
  KeptPerplexities kept(state);
  MergeLadder ladder;
  for (const TokenSequence& window : some) ladder.tokens += static_cast<std::int64_t>(window.targets());
  const auto add = [&](const std::string& name, const auto& candidate) {
    const auto measure = [&] { return measured_perplexity(candidate(), some, forward, session); };
    ladder.rungs.push_back({name, kept.of(name, measure)});
  };
  add(kOriginal, [&] { return model; });
  for (const MergeKind kind : compared_kinds(chosen)) {
    add(std::string(merge_kind_name(kind)), [&] { return merged_by(kind); });
  }
  return ladder;
}

std::uint64_t comparison_disk_bytes(const Model& model, const MergeOptions& options) {
  std::uint64_t bytes = 0;
  for (const MergeKind kind : compared_kinds(options.kind)) {
    if (kind == options.kind) continue;
    MergeOptions simpler = options;
    simpler.kind = kind;
    bytes += merge_disk_bytes(model, simpler, 0);  // the statistics are there already
  }
  return bytes;
}

std::string measured_text(const MergeLadder& ladder, MergeKind kind) {
  if (ladder.rungs.empty()) return {};
  std::string own, others;
  for (const ComparedMerge& merge : ladder.merges()) {
    const std::string nats = fmt::format("{:+.3f}", ladder.nats_above(merge));
    if (merge.name == merge_kind_name(kind)) {
      own = nats;
    } else {
      others += (others.empty() ? "" : ", ") + merge.name + " " + nats;
    }
  }
  std::string text =
      fmt::format("Measured on {} tokens that it was not fitted to: cross-entropy {} nats from the original's {:.4f}.",
                  ladder.tokens, own, std::log(ladder.rungs.front().perplexity));
  if (!others.empty()) text += " The same groups merged otherwise: " + others + ".";
  return text;
}

}  // namespace qcqa
