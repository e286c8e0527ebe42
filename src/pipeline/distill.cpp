#include "qcqa/pipeline/distill.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "pipeline/calibration.hpp"
#include "pipeline/distill_text.hpp"
#include "pipeline/output_folder.hpp"
#include "pipeline/search_step.hpp"
#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/export/export.hpp"
#include "qcqa/export/refitted.hpp"
#include "qcqa/forward/runnable.hpp"
#include "qcqa/support/error.hpp"
#include "support/stopwatch.hpp"

namespace qcqa {
namespace {

// Names of steps in the run's state.
constexpr const char* kChosenSteps = "chosen-steps";
constexpr const char* kLayers = "distilled-layers";
constexpr const char* kWritingDistilled = "writing";

/// Small gains have to show, so that some thousand tokens are measured on, but no more than an eighth of the text.
std::size_t hold_back_every(const TokenSequences& text) {
  static constexpr std::size_t kMeasuredTokens = 4096;
  static constexpr std::size_t kLeast = 8;
  return std::clamp(text.tokens() / kMeasuredTokens, kLeast, kHoldBackEvery);
}

/// A converted model may be stated to be for shorter texts than its original.
TokenSequences cut_for(const Model& model, TokenSequences text) {
  const std::size_t longest = require_runnable(model).max_positions;
  if (longest == 0) return text;
  TokenSequences cut;
  for (std::vector<TokenId> ids : text.ids()) {
    ids.resize(std::min(ids.size(), longest));
    cut.add(std::move(ids));
  }
  return cut;
}

class Distilling {
 public:
  Distilling(const Model& model, const Model& original, DistillSettings settings, Session session)
      : model_(model), original_(original), settings_(std::move(settings)), session_(std::move(session)) {
    if (!settings_.calibration.given()) settings_.calibration.sources.emplace_back(kSelf);
    require_tokens(settings_.calibration);
    require_refittable(model);
    require_distillable(model, original, settings_.options(1));
    open_state();
    for (const Model* each : {&model_, &original_}) require_output(*each, settings_.folder, overwrite());
  }

  DistillOutcome run() {
    if (!kept_) return preview();
    preparing(*kept_, [&] { prepare(); });
    resumable(*kept_, [&] { finish(); });
    kept_->remove();
    return outcome_;
  }

 private:
  void open_state() {
    if (settings_.dry_run) return;
    if (session_.state.empty()) session_.state = settings_.folder.string() + ".state";
    nlohmann::json identity = identity_of(settings_);
    add_inputs(identity, original_, settings_.calibration);
    identity["reference"] = std::exchange(identity["model"], model_.fingerprint());
    identity["MODEL"] = model_.path().string();
    kept_.emplace(session_.state, std::move(identity), session_.resume);
    say_if_nothing_is_there(*kept_, session_);
    if (kept_->is_resumed()) remove_abandoned(settings_.folder);
  }

  /// What stands at the output's name may be ours already: killed right after it was written.
  [[nodiscard]] Overwrite overwrite() const {
    return kept_ && kept_->find(kWritingDistilled) ? Overwrite::replace : settings_.overwrite;
  }

  [[nodiscard]] RefittedFolder output(const Model& fitted) const {
    RefittedFolder folder{.model = fitted};
    folder.files.emplace_back("README.md", distilled_card(model_, original_, settings_, outcome_));
    folder.files.emplace_back(kDistillFile, distilled_json(model_, original_, settings_, outcome_));
    if (std::string report = carried_report(model_); !report.empty())
      folder.files.emplace_back(kReportFile, std::move(report));
    return folder;
  }

  DistillOutcome preview() {
    const DistillChoice choice = choose_distillation(model_, original_, settings_);
    session_.say("distillation: " + choice.reason);
    RefittedSummary summary = preview_refitted(output(model_));
    outcome_.file_bytes = summary.file_bytes;
    outcome_.left_out = std::move(summary.left_out);
    return outcome_;
  }

  void choose() {
    static constexpr std::int64_t kMostSteps = 1 << 30;
    static constexpr std::int64_t kMostTokens = std::int64_t{1} << 62;
    if (const auto before = kept_->find(kChosenSteps)) {
      const JsonView view = kept_->view(kChosenSteps, *before);
      choice_ = {.steps = static_cast<int>(view.at("steps").integer(1, kMostSteps)),
                 .tokens = view.at("tokens").integer(2, kMostTokens),
                 .reason = view.at("reason").text()};
    } else {
      choice_ = choose_distillation(model_, original_, settings_);
      kept_->keep(kChosenSteps, {{"steps", choice_.steps}, {"tokens", choice_.tokens}, {"reason", choice_.reason}});
    }
    session_.say("distillation: " + choice_.reason);
    settings_.calibration.tokens = choice_.tokens;
  }

  void prepare() {
    choose();
    text_ = cut_for(model_, collect_calibration(original_, settings_.calibration, settings_.seed, settings_.forward,
                                                session_, &*kept_));
    held_back_ = hold_back(text_, hold_back_every(text_));
    if (held_back_.empty()) {
      throw Error(ErrorKind::invalid_argument, "--calibrate", "must give more than one sequence: one is measured on",
                  std::to_string(text_.size()), "Give more text, or self.");
    }
    outcome_.tokens = static_cast<std::int64_t>(text_.tokens());
    for (const TokenSequence& sequence : held_back_.all())
      outcome_.held_back_tokens += static_cast<std::int64_t>(sequence.targets());
    require_free_space(settings_.folder,
                       preview_refitted(output(model_)).file_bytes +
                           distill_disk_bytes(model_, settings_.options(choice_.steps), outcome_.tokens));
  }

  [[nodiscard]] Closeness measure(const Model& model) {
    const Evaluation evaluation =
        evaluate(model, &original_, held_back_.all(), {.forward = settings_.forward}, session_.progress);
    outcome_.original_cross_entropy = evaluation.reference->cross_entropy;
    return {.kl = evaluation.reference->kl_mean, .cross_entropy = evaluation.cross_entropy};
  }

  void finish() {
    const DistillResult result = distill_model(model_, original_, text_.all(), settings_.options(choice_.steps),
                                               kept_->path(kLayers), session_.progress);
    outcome_.steps = result.distillation.steps;
    outcome_.before = measure(model_);
    outcome_.after = measure(result.model);
    outcome_.seconds = watch_.seconds();
    if (!outcome_.is_better()) return;
    const Overwrite allowed = overwrite();
    kept_->keep(kWritingDistilled, true);
    RefittedSummary summary = write_refitted(output(result.model), settings_.folder, allowed, session_.progress);
    outcome_.file_bytes = summary.file_bytes;
    outcome_.left_out = std::move(summary.left_out);
  }

  const Model& model_;
  const Model& original_;
  DistillSettings settings_;
  Session session_;
  Stopwatch watch_;
  std::optional<RunState> kept_;  ///< nothing for a dry run
  DistillChoice choice_;
  TokenSequences text_, held_back_;
  DistillOutcome outcome_;
};

}  // namespace

DistillOptions DistillSettings::options(int chosen) const {
  return {.scope = scope, .steps = chosen, .rate = rate, .seed = seed, .memory = memory, .forward = forward};
}

DistillOutcome distill(const Model& model, const Model& original, DistillSettings settings, Session session) {
  return Distilling(model, original, std::move(settings), std::move(session)).run();
}

}  // namespace qcqa
