#include "qcqa/pipeline/conversion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pipeline/calibration.hpp"
#include "pipeline/evaluation_text.hpp"
#include "pipeline/merge_comparison.hpp"
#include "pipeline/output_folder.hpp"
#include "pipeline/plan_trial.hpp"
#include "pipeline/search_step.hpp"
#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/merge/estimate.hpp"
#include "qcqa/merge/pooled_model.hpp"
#include "qcqa/pipeline/merge_choice.hpp"
#include "qcqa/report/sections.hpp"
#include "qcqa/search/plan_choice.hpp"
#include "qcqa/support/error.hpp"
#include "statistics/layer_runner.hpp"
#include "support/fnv1a.hpp"
#include "support/stopwatch.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;

// Names of steps in the run's state.
constexpr const char* kChosenMerge = "chosen-merge";
constexpr const char* kMerged = "merged";
constexpr const char* kTried = "tried-plan";
constexpr const char* kWriting = "writing";
constexpr const char* kWritten = "written";

// What a conversion times, beside the stages of the search and kEvaluateStage.
constexpr const char* kComparePlans = "plans";

nlohmann::json to_json(const MergeChoice& choice) {
  return {{"kind", merge_kind_name(choice.kind)},
          {"steps", choice.reconstruct.steps},
          {"distill_steps", choice.reconstruct.distill_steps},
          {"sources", choice.calibration.sources},
          {"tokens", choice.calibration.tokens},
          {"compares_plans", choice.compares_plans},
          {"reason", choice.reason}};
}

/// Nothing for a name that no kind has.
std::optional<MergeKind> merge_kind(std::string_view name) {
  const auto method = std::ranges::find(merge_methods(), name, &MergeMethod::name);
  return method == merge_methods().end() ? std::nullopt : std::optional((*method)->kind);
}

/// @param choice  gives what a choice does not change
MergeChoice choice_from_json(const JsonView& kept, MergeChoice choice) {
  static constexpr std::int64_t kMost = 1 << 30;
  const JsonView name = kept.at("kind");
  const std::optional<MergeKind> kind = merge_kind(name.text());
  if (!kind) name.corrupt("must be a kind of merge", name.text());
  choice.kind = *kind;
  choice.reconstruct.steps = static_cast<int>(kept.at("steps").integer(0, kMost));
  choice.reconstruct.distill_steps = static_cast<int>(kept.at("distill_steps").integer(0, kMost));
  choice.calibration.sources.clear();
  for (const JsonView& source : kept.at("sources").items()) choice.calibration.sources.push_back(source.text());
  choice.calibration.tokens = kept.at("tokens").integer(0, std::int64_t{1} << 62);
  choice.compares_plans = kept.at("compares_plans").flag();
  choice.reason = kept.at("reason").text();
  return choice;
}

std::string hash_of(const EvaluationText& text) {
  Fnv1a hash;
  for (const TokenSequence& window : text.windows) {
    hash.add(static_cast<std::int64_t>(window.ids.size()));
    hash.add(static_cast<std::int64_t>(window.first_target));
    hash.add(std::as_bytes(window.ids));
  }
  return hash.text();
}

}  // namespace

struct Conversion::State {
  const Model& model;
  ConversionSettings settings;
  Session session;
  std::optional<RunState> kept;  ///< nothing for a dry run
  std::optional<EvaluationText> text;
  MergeOptions options;
  TokenSequences calibration, held_back;
  std::optional<InputStatistics> statistics;  ///< of the calibration
  Report report;
  ExportOptions written;
  std::optional<MergeResult> merged;  ///< before merge() where plans were merged to compare them
  bool compares_plans = false;        ///< where there are two to compare

  State(const Model& the_model, ConversionSettings the_settings, Session the_session)
      : model(the_model), settings(std::move(the_settings)), session(std::move(the_session)) {
    check_settings();
    if (settings.text.given()) text = read_text(model, settings.text, session);
    open_state();
    check_output();
    if (!settings.plan.report.empty()) return;
    const bool is_by_fraction = !settings.plan.point && !settings.plan.groups;
    require_search(model, search_options(), is_by_fraction ? std::optional(settings.plan.kv) : std::nullopt);
  }

  void check_settings() const {
    require_tokens(settings.calibration);
    if (const auto kind = settings.merge.kind) require_use_of(settings.calibration, kind, fitness(*kind));
    if (settings.plan.groups) require_groups(*settings.plan.groups, settings.plan.cardinality, model.kv_heads());
  }

  [[nodiscard]] bool measures_layers() const {
    return settings.fitness == FitnessKind::measured && settings.plan.report.empty();
  }

  [[nodiscard]] FitnessKind fitness(MergeKind kind) const {
    return settings.fitness.value_or(merge_method(kind).fitness);
  }

  void open_state() {
    if (settings.output.dry_run) return;
    if (session.state.empty()) session.state = settings.output.folder.string() + ".state";
    nlohmann::json identity = identity_of(settings);
    add_inputs(identity, model, settings.calibration);
    if (text) identity["text"] = hash_of(*text);
    kept.emplace(session.state, std::move(identity), session.resume);
    say_if_nothing_is_there(*kept, session);
    if (kept->is_resumed()) remove_abandoned(settings.output.folder);
  }

  [[nodiscard]] bool is_kept(const char* step) const { return kept && kept->find(step); }

  /// What stands at the output's name may be ours already: killed right after it was written.
  [[nodiscard]] Overwrite overwrite() const {
    return is_kept(kWriting) ? Overwrite::replace : settings.output.overwrite;
  }

  /// Fails before any work when the output cannot be written where the user wants it.
  void check_output() {
    const OutputSettings& output = settings.output;
    require_output(model, output.folder, overwrite());
    require_tokenizer(model, output.target == Target::llama_cpp ? FileFormat::gguf : output.options.format);
    if (output.target) {
      restrict_to(model, *output.target, settings.search);
    } else {
      require_layout(model, output.options.layout, output.options.format);
      // Where only such groups can be written, no others are looked for.
      if (needs_neighbours(model, output.options.layout)) settings.search.equal = settings.search.arbitrary = false;
    }
  }

  /// A plan that was asked for by its number or comes from a report stays what it is.
  [[nodiscard]] bool may_compare_plans() const {
    const PlanSettings& wanted = settings.plan;
    return wanted.report.empty() && !wanted.point && !wanted.groups && !settings.search.limits.is_uniform() &&
           !settings.output.plans(model).is_uniform() && may_have_uniform_rival(model.kv_heads(), wanted.kv);
  }

  void choose_merge_kind() {
    MergeChoice choice{.kind = settings.merge.kind.value_or(MergeKind::mean),
                       .reconstruct = settings.merge.reconstruct,
                       .calibration = settings.calibration,
                       .reason = {},
                       .compares_plans = true};  // who chose a merge gets it however long it takes
    if (!settings.merge.kind) {
      const auto before = kept ? kept->find(kChosenMerge) : std::nullopt;
      choice = before ? choice_from_json(kept->view(kChosenMerge, *before), choice)
                      : choose_merge(model, settings.merge, settings.calibration, settings.forward,
                                     may_compare_plans() ? ComparePlans::maybe : ComparePlans::no,
                                     measures_layers() ? MeasureLayers::yes : MeasureLayers::no);
      if (kept && !before) kept->keep(kChosenMerge, to_json(choice));
      session.say("merge: " + std::string(merge_kind_name(choice.kind)) + ", " + choice.reason);
    }
    compares_plans = choice.compares_plans;
    settings.calibration = choice.calibration;
    options = {.kind = choice.kind,
               .reconstruct = choice.reconstruct,
               .seed = settings.search.layer.seed,
               .memory = settings.merge.memory,
               .forward = settings.forward};
  }

  /// The options of a search of just the wanted groupings where they are given by number.
  [[nodiscard]] SearchOptions search_options() const {
    SearchOptions search = settings.search;
    if (!settings.plan.groups) return search;
    search.layer.min_groups = search.layer.max_groups = *settings.plan.groups;
    search.arbitrary = settings.plan.cardinality == Cardinality::arbitrary;
    search.equal = settings.plan.cardinality == Cardinality::equal;
    search.model_nsga2.generations = 0;  // every layer gets the same number of groups: nothing to choose
    return search;
  }

  void search() {
    if (kept) {
      if (auto before = kept_search(*kept)) {
        report = *std::move(before);
        return;
      }
    }
    if (measures_layers() && calibration.empty()) {
      session.say("plan: by the costs that --fitness measured begins with; there is no calibration to measure on" +
                  std::string(settings.output.dry_run ? " in a dry run" : ""));
    }
    RunState* state = kept ? &*kept : nullptr;
    const LayerCosts costs =
        compute_costs(model, fitness(options.kind), calibration, *statistics, options, session, state);
    report = search_model(model, costs, search_options(), settings.plan.kv, settings.forward.device, session, state);
  }

  /// Takes the search of another run, without what that run measured of a conversion of its own.
  void read_search() {
    report = read_report(settings.plan.report);
    require_same_model(report, model, settings.plan.report.string());
    report.plan_comparison.reset();
    report.merge.reset();
    report.evaluation.reset();
    for (const char* stage : {kComparePlans, kEvaluateStage}) report.timings.erase(stage);
  }

  void choose_plan() {
    const PlanSettings& wanted = settings.plan;
    if (wanted.point) {
      report.plan = plan_for_point(report.search, *wanted.point);
    } else if (wanted.groups) {
      report.plan = plan_for_groups(report.search, *wanted.groups, wanted.cardinality);
    } else {
      report.plan = plan_for_fraction(report.search, model.total_kv_heads(), wanted.kv, settings.output.plans(model));
    }
    if (may_compare_plans()) compare_plans();
    written = settings.output.options;
    written.merge = options.kind;
    if (const auto target = settings.output.target) {
      const LayoutChoice choice = choose_layout(model, *report.plan, *target);
      written.layout = choice.layout;
      written.format = choice.format;
      session.say("Layout " + std::string(layout_name(choice.layout)) + ": " + choice.why);
    }
  }

  /// What merging keeps on the disk, simpler merges that it is compared with and those that price layers included.
  [[nodiscard]] std::uint64_t merge_bytes(std::int64_t tokens) const {
    std::uint64_t bytes = merge_disk_bytes(model, options, tokens);
    if (text || settings.calibration.given()) bytes += comparison_disk_bytes(model, options);
    if (measures_layers()) bytes += measuring_disk_bytes(model, options);
    return bytes;
  }

  /// Before a calibration is sampled; a plan is not known yet, nor how long a text is.
  void require_room_to_merge() const {
    if (kept->is_resumed()) return;  // a part of it may be there
    const std::int64_t sampled = settings.calibration.sampled_tokens(settings.calibration.tokens);
    require_free_space(settings.output.folder, merge_bytes(sampled));
  }

  /// Before hours of work that could not be written.
  void require_room() const {
    std::uint64_t bytes = preview_export(model, *report.plan, written).file_bytes;
    if (!is_kept(kWritten)) {
      bytes += merge_bytes(static_cast<std::int64_t>(calibration.tokens()));
    }
    require_free_space(settings.output.folder, bytes);
  }

  [[nodiscard]] MergeResult merged_by(MergeKind kind) {
    MergeOptions used = options;
    used.kind = kind;
    const std::string folder = kind == options.kind ? kMerged : kMerged + ("-" + std::string(merge_kind_name(kind)));
    const bool is_rival = report.plan_comparison && report.plan_comparison->takes_uniform;
    return merged_as(*report.plan, used, calibration.all(), is_rival ? of_rival(folder) : folder);
  }

  [[nodiscard]] MergeResult merged_as(const Plan& plan, const MergeOptions& used, std::span<const TokenSequence> tokens,
                                      const std::string& folder) {
    return merge_model(model, plan, tokens, used, kept->path(folder), session.progress, &*statistics);
  }

  /// Where the same merge of the uniform plan is kept.
  static std::string of_rival(const std::string& folder) { return folder + "-uniform"; }

  /// Takes the better one of the plan and its uniform rival, if there is one and time for both.
  void compare_plans() {
    const Plan per_layer = *report.plan;
    const auto rival = uniform_rival(report.search, per_layer, model.total_kv_heads(), settings.plan.kv);
    if (!rival) return;
    const std::string heads = fmt::format("{} KV heads, as many in every layer,", rival->kv_heads());
    const PlanTrial trial = plan_trial(options, static_cast<std::int64_t>(calibration.tokens()));
    if (!report.plan_comparison) {
      if (!compares_plans) {
        session.say("plan: " + heads + " may do as well as this one: --time-limit leaves no time to measure both");
        return;
      }
      if (settings.output.dry_run) {
        session.say("plan: " + heads + " would be measured beside it, where there is text to measure on");
        return;
      }
      if (compared_on().empty()) return;
      try_plans(trial, per_layer, *rival);
      keep_search(report, &*kept);
    }
    const PlanComparison& comparison = *report.plan_comparison;
    if (comparison.takes_uniform) report.plan = *rival;
    session.say("plan: " + text_of(comparison));
    // What nobody comes back to.
    const std::string folder = trial.is_the_merge ? kMerged : kTried;
    std::error_code is_gone;
    if (!trial.is_the_merge || comparison.takes_uniform) fs::remove_all(kept->path(folder), is_gone);
    if (!trial.is_the_merge || !comparison.takes_uniform) fs::remove_all(kept->path(of_rival(folder)), is_gone);
  }

  void try_plans(const PlanTrial& trial, const Plan& per_layer, const Plan& rival) {
    const Stopwatch watch;
    if (!kept->is_resumed()) {
      require_free_space(settings.output.folder, 2 * merge_disk_bytes(model, trial.options, trial.tokens));
    }
    const auto tokens = trial.is_the_merge ? calibration.all() : evenly_spread(calibration.all(), trial.tokens);
    const std::string folder = trial.is_the_merge ? kMerged : kTried;
    MergeResult first = merged_as(per_layer, trial.options, tokens, folder);
    MergeResult second = merged_as(rival, trial.options, tokens, of_rival(folder));
    const std::vector<TokenSequence> windows = compared_windows(compared_on());
    const double original = original_perplexity(model, windows, settings.forward, session, *kept);
    report.plan_comparison =
        measure_plans({per_layer, first}, {rival, second}, original, windows, settings.forward, session.progress);
    if (trial.is_the_merge) merged = std::move(report.plan_comparison->takes_uniform ? second : first);
    report.timings[kComparePlans] = watch.seconds();
  }

  /// What none of the merges saw. May be empty.
  [[nodiscard]] const std::vector<TokenSequence>& compared_on() const { return text ? text->windows : held_back.all(); }

  /// Looks at simpler merges of the plan too. One that measures better is taken, or told of where the user chose.
  void climb_down(std::span<const TokenSequence> windows) {
    const auto model_by = [&](MergeKind kind) { return kind == options.kind ? merged->model : merged_by(kind).model; };
    const MergeLadder ladder = compare_merges(model, options.kind, model_by, windows, settings.forward, session, *kept);
    const ComparedMerge& best = ladder.best();
    if (best.perplexity < ladder.rungs.back().perplexity) {
      const std::string worse =
          fmt::format("measures worse than {} on {} tokens that it did not see: perplexity {:.4g} against {:.4g}",
                      best.name, ladder.tokens, ladder.rungs.back().perplexity, best.perplexity);
      if (settings.merge.kind) {
        session.decide(fmt::format("--merge {} {}.", ladder.rungs.back().name, worse));
      } else {
        session.decide(fmt::format("merge {} is taken: {} {}.", best.name, ladder.rungs.back().name, worse));
        merged = merged_by(*merge_kind(best.name));
        written.merge = merged->summary.kind;
      }
    }
    merged->summary.ladder = ladder;
  }

  void evaluate_output() {
    const Stopwatch watch;
    // What only another runtime reads holds the heads of the merged model, rounded.
    const Model converted = can_be_read(written.layout, written.format)
                                ? Model::open(settings.output.folder, model.settings().families())
                                : rounded_model(merged->model, written.dtype);
    report.evaluation =
        qcqa::evaluate(converted, &model, text->windows, {.forward = settings.forward}, session.progress);
    report.evaluation->kv_bytes_per_token = preview_export(model, *report.plan, written).kv_bytes_per_token_after;
    report.timings[kEvaluateStage] = watch.seconds();
    write_file_atomically(settings.output.folder / kReportFile, to_json(report).dump(1) + "\n");
  }

  template <typename Work>
  decltype(auto) preparation(const Work& work) {
    if (!kept) return work();
    return preparing(*kept, work);
  }

  template <typename Work>
  decltype(auto) step(const Work& work) {
    if (!kept) return work();
    return resumable(*kept, work);
  }
};

Conversion::Conversion(const Model& model, ConversionSettings settings, Session session)
    : state_(std::make_unique<State>(model, std::move(settings), std::move(session))) {}
Conversion::~Conversion() = default;

const Report& Conversion::plan() {
  State& s = *state_;
  return s.preparation([&]() -> const Report& {
    s.choose_merge_kind();
    if (!s.settings.output.dry_run) {
      s.require_room_to_merge();
      s.calibration =
          collect_calibration(s.model, s.settings.calibration, s.options.seed, s.settings.forward, s.session, &*s.kept);
    }
    // Without a text, merges are judged on some of the calibration that they do not see.
    if (!s.text) s.held_back = hold_back(s.calibration);
    s.statistics.emplace(calibration_statistics(s.model, s.calibration, s.settings.forward, s.options.memory, s.session,
                                                s.kept ? &*s.kept : nullptr));
    if (s.settings.plan.report.empty()) {
      s.search();
    } else {
      s.read_search();
    }
    s.choose_plan();
    if (!s.settings.output.dry_run) s.require_room();
    return s.report;
  });
}

ExportSummary Conversion::preview() const {
  ExportOptions options = state_->written;
  options.report = to_json(state_->report).dump(1) + "\n";
  return preview_export(state_->model, *state_->report.plan, options);
}

ConversionNeeds Conversion::needs() const {
  const State& s = *state_;
  const CalibrationSettings& calibration = s.settings.calibration;
  const std::int64_t tokens = calibration.all_tokens(calibration.tokens);
  const ExportSummary written = preview();
  return {.disk_bytes = written.file_bytes + s.merge_bytes(tokens),
          .memory_bytes =
              std::max(written.buffer_bytes,
                       merge_memory_bytes(s.model, s.options, tokens, calibration.sampled_tokens(calibration.tokens)))};
}

const Report& Conversion::merge() {
  State& s = *state_;
  return s.preparation([&]() -> const Report& {
    const MergeMethod& method = merge_method(s.options.kind);
    if (!s.merged) s.merged = s.merged_by(s.options.kind);
    const bool is_simplest = &method == merge_methods().front();
    if (!s.compared_on().empty() && !is_simplest) s.climb_down(s.compared_on());
    s.report.merge = s.merged->summary;
    if (method.pooled == Pooled::no || !s.merged->summary.ladder.rungs.empty())
      s.session.say(text_of(report_sections(s.report, {"merge"})));
    return s.report;
  });
}

ExportSummary Conversion::write() {
  State& s = *state_;
  return s.step([&]() -> ExportSummary {
    ExportOptions options = s.written;
    options.report = to_json(s.report).dump(1) + "\n";
    options.measured = measured_text(s.report.merge->ladder, options.merge);
    if (s.report.plan_comparison) {
      options.measured += (options.measured.empty() ? "" : " ") + text_of(*s.report.plan_comparison);
    }
    if (s.is_kept(kWritten)) return preview_export(s.merged->model, *s.report.plan, options);
    const Overwrite overwrite = s.overwrite();
    if (s.kept->holds_steps()) s.kept->keep(kWriting, true);
    ExportSummary summary =
        export_model(s.merged->model, *s.report.plan, options, s.settings.output.folder, overwrite, s.session.progress);
    if (s.kept->holds_steps()) s.kept->keep(kWritten, true);
    return summary;
  });
}

std::optional<Evaluation> Conversion::evaluate() {
  State& s = *state_;
  if (!s.text) return std::nullopt;
  return s.step([&]() -> std::optional<Evaluation> {
    s.evaluate_output();
    return s.report.evaluation;
  });
}

void Conversion::finish() {
  if (state_->kept) state_->kept->remove();
}

const Report& Conversion::report() const noexcept { return state_->report; }
const ExportOptions& Conversion::export_options() const noexcept { return state_->written; }

std::string Conversion::evaluated_on() const { return words_for(*state_->text); }

Report run(const Model& model, ConversionSettings settings, Session session) {
  Conversion conversion(model, std::move(settings), std::move(session));
  (void)conversion.plan();
  (void)conversion.merge();
  (void)conversion.write();
  (void)conversion.evaluate();
  conversion.finish();
  return conversion.report();
}

}  // namespace qcqa
