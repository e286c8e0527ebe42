#include "pipeline/merge_comparison.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <string>

#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/merge/pooled_model.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa {
namespace {

constexpr std::size_t kComparedTokens = 8192;
constexpr const char* kStep = "comparison";

std::vector<TokenSequence> first_of(std::span<const TokenSequence> windows) {
  std::vector<TokenSequence> some;
  std::size_t tokens = 0;
  for (const TokenSequence& window : windows) {
    if (tokens >= kComparedTokens) break;
    some.push_back(window);
    tokens += window.ids.size();
  }
  return some;
}

std::string comparison_text(const std::vector<ComparedMerge>& merges) {
  std::string text = "perplexity";
  for (const ComparedMerge& merge : merges) {
    text += (merge.name == "mean"                ? "; merged: "
             : merges.front().name == merge.name ? " "
                                                 : " -> ") +
            fmt::format("{} {:.4g}", merge.name, merge.perplexity);
  }
  return text;
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

}  // namespace

std::vector<ComparedMerge> compare_merges(const Model& model, const Plan& plan, InputStatistics& statistics,
                                          std::span<const TokenSequence> windows, const Model& merged,
                                          const MergeOptions& options, const Session& session, RunState& state) {
  const std::vector<TokenSequence> some = first_of(windows);
  KeptPerplexities kept(state);
  std::vector<ComparedMerge> merges;
  const auto perplexity_of = [&](const Model& candidate) {
    return evaluate(rounded_model(candidate, {}), nullptr, some, options.forward, session.progress).perplexity;
  };
  merges.push_back({"original", kept.of("original", [&] { return perplexity_of(model); })});
  for (const MergeKind kind : {MergeKind::mean, MergeKind::aligned, MergeKind::subspace}) {
    if (kind == options.kind) break;
    const std::string name(merge_kind_name(kind));
    const auto measure = [&] {
      MergeOptions lower = options;
      lower.kind = kind;
      InputStatistics* const of_text = kind == MergeKind::subspace ? &statistics : nullptr;
      return perplexity_of(
          merge_model(model, plan, {}, lower, state.path("merged-" + name), session.progress, of_text).model);
    };
    merges.push_back({name, kept.of(name, measure)});
  }
  const std::string chosen(merge_kind_name(options.kind));
  merges.push_back({chosen, kept.of(chosen, [&] { return perplexity_of(merged); })});
  session.say(comparison_text(merges));
  return merges;
}

}  // namespace qcqa
