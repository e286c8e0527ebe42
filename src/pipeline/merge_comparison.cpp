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

constexpr std::size_t kJudgedTokens = 8192;
constexpr const char* kStep = "comparison";

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

std::string comparison_text(const std::vector<MergeRung>& rungs) {
  std::string text = "perplexity";
  for (const MergeRung& rung : rungs) {
    text += (rung.name == "mean"               ? "; merged: "
             : rungs.front().name == rung.name ? " "
                                               : " -> ") +
            fmt::format("{} {:.4g}", rung.name, rung.perplexity);
  }
  return text;
}

/// The perplexities that were measured already, by name.
class KeptRungs {
 public:
  explicit KeptRungs(RunState& state) : state_(state), kept_(state.find(kStep).value_or(nlohmann::json::object())) {
    const auto sound = [](const nlohmann::json& value) {
      return value.is_number() && std::isfinite(value.get<double>()) && value.get<double>() >= 0;
    };
    bool fits = kept_.is_object();
    for (auto it = kept_.begin(); fits && it != kept_.end(); ++it) fits = sound(*it);
    if (fits) return;
    throw Error(ErrorKind::corrupt, (state.folder() / (std::string(kStep) + ".json")).string(),
                "must hold perplexities by the name of a merge", {}, "Start over with --force.");
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

std::vector<MergeRung> compare_merges(const Model& model, const Plan& plan, InputStatistics& statistics,
                                      std::span<const TokenSequence> windows, const Model& merged,
                                      const MergeOptions& options, const Session& session, RunState& state) {
  const std::vector<TokenSequence> some = first_of(windows);
  KeptRungs kept(state);
  std::vector<MergeRung> rungs;
  const auto judge = [&](const Model& candidate) {
    return evaluate(rounded_model(candidate, {}), nullptr, some, {.forward = options.forward, .layers = {}},
                    session.progress)
        .perplexity;
  };
  rungs.push_back({"original", kept.of("original", [&] { return judge(model); })});
  for (const MergeKind kind : {MergeKind::mean, MergeKind::aligned, MergeKind::subspace}) {
    if (kind == options.kind) break;
    const std::string name(merge_kind_name(kind));
    const auto measure = [&] {
      MergeOptions lower = options;
      lower.kind = kind;
      InputStatistics* const of_text = kind == MergeKind::subspace ? &statistics : nullptr;
      return judge(merge_model(model, plan, {}, lower, state.path("merged-" + name), session.progress, of_text).model);
    };
    rungs.push_back({name, kept.of(name, measure)});
  }
  const std::string chosen(merge_kind_name(options.kind));
  rungs.push_back({chosen, kept.of(chosen, [&] { return judge(merged); })});
  session.say(comparison_text(rungs));
  return rungs;
}

}  // namespace qcqa
