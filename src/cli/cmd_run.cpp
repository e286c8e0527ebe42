#include <cstdio>
#include <memory>
#include <optional>

#include "cli/commands.hpp"
#include "cli/evaluate_step.hpp"
#include "cli/export_step.hpp"
#include "cli/flags.hpp"
#include "cli/forward_setup.hpp"
#include "cli/ladder_step.hpp"
#include "cli/merge_choice.hpp"
#include "cli/open_model.hpp"
#include "cli/search_step.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/search/plan_choice.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

struct RunCommand {
  std::string model;
  double kv = 0.5;
  bool resume = false;
  TextFlags text;
  ComputeFlags compute;
  IncreaseLimit limit;
  CommonFlags common;
  FitnessFlags fitness;
  SearchFlags search;
  ExportFlags output;
  MergeFlags merge;
};

/// The last step: the new model beside the one it was made from, for people and into the report beside it.
/// @param merged  the model with its heads merged, which was written
Evaluation evaluate_output(const RunCommand& command, const std::filesystem::path& folder, const Model& model,
                           const Model& merged, const ExportOptions& written, const EvaluationText& text, Report report,
                           Console& console) {
  const double start = console.seconds();
  // What only another runtime reads is evaluated in the expanded layout, which holds the same heads.
  std::optional<StagedFolder> scratch;
  std::filesystem::path evaluated = folder;
  if (!opens_again(written.layout, written.format)) {
    scratch.emplace(folder.string() + ".evaluation", Overwrite::refuse);
    evaluated = scratch->path() / "expanded";
    const ExportOptions expanded{.layout = Layout::expanded, .dtype = written.dtype};
    (void)export_model(merged, *report.plan, expanded, evaluated, Overwrite::refuse, console.progress());
  }
  const Model converted = Model::open(evaluated);
  const EvaluateOptions options{.forward = command.compute.resolve(command.common.device), .layers = {}};
  report.evaluation = evaluate(converted, &model, text.windows, options, console.progress());
  report.evaluation->kv_bytes_per_token = preview_export(model, *report.plan, written).kv_bytes_per_token_after;
  report.timings["evaluate"] = console.seconds() - start;
  write_file_atomically(folder / kReportFile, to_json(report).dump(1) + "\n");
  std::printf("%s", evaluation_summary(*report.evaluation, text).c_str());
  return *report.evaluation;
}

void check(const RunCommand& command) {
  if (!(command.kv > 0 && command.kv <= 1)) {
    throw Error(ErrorKind::invalid_argument, "--kv", "must be a fraction in (0, 1]", std::to_string(command.kv));
  }
  if (command.limit.resolve() && !command.text.given()) {
    throw Error(ErrorKind::invalid_argument, "--max-perplexity-increase", "needs --text or --token-ids", "neither");
  }
  (void)command.compute.resolve(command.common.device);
}

/// --resume goes on with the search, or with the merge when the search was done.
SearchState search_state(const RunCommand& command) {
  SearchState state{command.output.folder().string() + ".search-state", command.resume};
  if (command.resume && !std::filesystem::exists(state.file) &&
      std::filesystem::exists(merge_state_folder(command.output))) {
    state.resume = false;
  }
  return state;
}

int run(const RunCommand& command) {
  check(command);
  const int threads = command.common.apply_threads();
  SearchOptions options = command.search.resolve(threads);
  const ExportOptions output = command.output.resolve();
  const ForwardOptions forward = command.compute.resolve(command.common.device);
  MergeFlags merge_flags = command.merge;
  merge_flags.seed = options.layer.seed;
  merge_flags.calibration.tokenizer = command.text.tokenizer;
  if (merge_flags.is_auto()) {
    (void)parse_duration(merge_flags.time_limit, "--time-limit");
  } else {
    const MergeKind kind = merge_flags.resolve(forward).kind;
    require_use_of(merge_flags.calibration, kind, command.fitness.resolve(kind));
  }
  const Device device = parse_device(command.common.device);
  Console console = command.common.console();
  const Model model = open_model(command.model, console);
  console.note(preamble(model, "run"));
  check_output(model, command.output);
  if (const auto target = command.output.automatic_for()) {
    apply_target(model, *target, options);
  } else {
    require_layout(model, output.layout, output.format);
  }
  // Read before the search, so that a mistake in it shows at once.
  std::optional<EvaluationText> text;
  if (command.text.given()) text = read_text(model, command.text, console);

  const std::filesystem::path folder = command.output.folder();
  const SearchState state = search_state(command);
  prepare_forward(threads);
  if (merge_flags.is_auto()) {
    MergeChoice choice = choose_merge(model, merge_flags, forward);
    merge_flags = std::move(choice.flags);
    console.note("merge: " + merge_flags.merge + ", " + choice.reason);
  }
  const MergeOptions merge = merge_flags.resolve(forward);
  TokenSequences calibration;
  if (!command.output.dry_run) {
    calibration = collect_calibration(model, merge_flags.calibration, merge.seed, merge.forward, console);
  }
  // Without a text, merges are judged on some of the calibration that they do not see.
  const TokenSequences held_back = text ? TokenSequences{} : hold_back(calibration);
  const std::vector<TokenSequence>& judged = text ? text->windows : held_back.all();
  const LayerCosts costs =
      compute_costs(model, command.fitness.resolve(merge.kind), calibration, merge.forward, device, console);
  Report report = search_model(model, costs, options, device, console, state);
  if (!command.common.quiet) std::printf("%s", search_summary(report).c_str());
  const Plan plan = plan_for_fraction(report.search, model.total_kv_heads(), command.kv, command.output.plans(model));
  report.plan = plan;
  const MergeStep merged(model, plan, calibration, merge, command.output, command.resume, console);
  report.merge = merged.summary();
  if (!merged.scratch().empty() && !judged.empty()) {
    report.merge->ladder = climb_ladder(model, plan, calibration, judged, merged, merge, console);
  }
  const ExportOptions written = export_step(merged.model(), plan, report, command.output, console);
  if (command.output.dry_run) return kOk;
  std::error_code ignored;
  std::filesystem::remove(state.file, ignored);
  if (!text) return kOk;
  return check_increase(
      evaluate_output(command, folder, model, merged.model(), written, *text, std::move(report), console),
      command.limit, console);
}

}  // namespace

void add_run(CLI::App& app, Action& action) {
  auto command = std::make_shared<RunCommand>();
  CLI::App* sub = app.add_subcommand("run", "Search, convert and, given a text, evaluate in one go");
  sub->add_option("MODEL", command->model,
                  "Model folder (config.json and safetensors or pytorch_model.bin) or GGUF file")
      ->required();
  sub->add_option("--kv", command->kv, "Largest fraction of the KV cache to keep")->capture_default_str();
  sub->add_flag("--resume", command->resume, "Go on with an interrupted run of the same output");
  command->merge.add_to(*sub, true);
  command->output.add_to(*sub);
  command->fitness.add_to(*sub);
  command->search.add_to(*sub);
  command->text.add_to(*sub);
  command->limit.add_to(*sub);
  command->compute.add_to(*sub);
  command->common.add_to(*sub);
  sub->callback([command, &action] { action = [command] { return run(*command); }; });
}

}  // namespace qcqa::cli
