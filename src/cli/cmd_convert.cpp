#include <array>
#include <cstdio>
#include <memory>
#include <span>

#include "cli/choice.hpp"
#include "cli/commands.hpp"
#include "cli/evaluate_step.hpp"
#include "cli/export_step.hpp"
#include "cli/flags.hpp"
#include "cli/forward_setup.hpp"
#include "cli/merge_choice.hpp"
#include "cli/open_model.hpp"
#include "cli/search_step.hpp"
#include "qcqa/search/plan_choice.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

constexpr std::array<Choice<Cardinality>, 3> kCardinalities = {{
    {"contiguous", Cardinality::contiguous, "neighbouring heads, as GQA"},
    {"equal", Cardinality::equal, "the best groups of equal size"},
    {"arbitrary", Cardinality::arbitrary, "the best groups of any size"},
}};

struct ConvertCommand {
  std::string model, report;
  double kv = 0;
  int point = -1, groups = 0;
  bool resume = false;
  std::string cardinality = "contiguous";
  CLI::Option *kv_option = nullptr, *point_option = nullptr, *groups_option = nullptr, *cardinality_option = nullptr;
  CommonFlags common;
  ExportFlags output;
  FitnessFlags fitness;
  MergeFlags merge;
  ComputeFlags compute;
};

void check_choice_of_plan(const ConvertCommand& command) {
  const bool report = !command.report.empty();
  const int ways = int{command.kv_option->count() > 0} + int{command.point_option->count() > 0};
  if (report ? ways != 1 || command.groups_option->count() > 0 || command.cardinality_option->count() > 0
             : ways != 0 || command.groups_option->count() == 0) {
    throw Error(ErrorKind::invalid_argument, "convert",
                "needs either --report with one of --kv and --point, or --groups with --cardinality",
                report ? "--report with " + std::to_string(ways) + " of --kv and --point" : "no --report",
                "See `qcqa convert --help`.");
  }
}

/// A search of just the wanted groupings when they are not given by counting.
Report search_for_groups(const ConvertCommand& command, const Model& model, const TokenSequences& calibration,
                         const MergeOptions& merge, Cardinality cardinality, int threads, Console& console) {
  const int heads = model.layers().front().kv_heads;
  if (command.groups < 1 || command.groups > heads) {
    throw Error(ErrorKind::invalid_argument, "--groups",
                "must be from 1 to the number of KV heads, " + std::to_string(heads), std::to_string(command.groups));
  }
  SearchOptions options;
  options.layer.seed = command.merge.seed;
  options.layer.min_groups = options.layer.max_groups = command.groups;
  options.arbitrary = cardinality == Cardinality::arbitrary;
  options.equal = cardinality == Cardinality::equal;
  options.model_nsga2.generations = 0;  // every layer gets the same number of groups: nothing to choose
  options.threads = threads;
  const Device device = parse_device(command.common.device);
  const LayerCosts costs =
      compute_costs(model, command.fitness.resolve(merge.kind), calibration, merge.forward, device, console);
  return search_model(model, costs, options, device, console);
}

int run(const ConvertCommand& command) {
  check_choice_of_plan(command);
  const int threads = command.common.apply_threads();
  (void)command.output.resolve();
  const MergeOptions merge = command.merge.resolve(command.compute.resolve(command.common.device));
  require_use_of(command.merge.calibration, merge.kind, command.fitness.resolve(merge.kind));
  const Cardinality cardinality =
      parse_choice(std::span<const Choice<Cardinality>>(kCardinalities), command.cardinality, "--cardinality");
  Console console = command.common.console();
  const Model model = open_model(command.model, console);
  console.note(preamble(model, "convert"));
  check_output(model, command.output);
  if (command.resume && !std::filesystem::exists(merge_state_folder(command.output))) {
    throw Error(ErrorKind::not_found, merge_state_folder(command.output).string(),
                "--resume needs the layers that an interrupted conversion left", "none",
                "Convert again without --resume.");
  }
  prepare_forward(threads);
  TokenSequences calibration;
  if (!command.output.dry_run) {
    calibration = collect_calibration(model, command.merge.calibration, command.merge.seed, merge.forward, console);
  }
  Report report;
  Plan plan;
  if (command.report.empty()) {
    report = search_for_groups(command, model, calibration, merge, cardinality, threads, console);
    plan = plan_for_groups(report.search, command.groups, cardinality);
  } else {
    report = read_report(command.report);
    require_same_model(report, model, command.report);
    plan = command.point_option->count() > 0
               ? plan_for_point(report.search, command.point)
               : plan_for_fraction(report.search, model.total_kv_heads(), command.kv, command.output.plans(model));
  }
  const MergeStep merged(model, plan, calibration, merge, command.output, command.resume, console);
  report.merge = merged.summary();
  (void)export_step(merged.model(), plan, std::move(report), command.output, console);
  if (merge.kind != MergeKind::reconstruct && !command.output.dry_run && !command.common.quiet) {
    const std::string hint = reconstruct_hint(model, command.merge, merge.forward);
    if (!hint.empty()) std::printf("%s\n", hint.c_str());
  }
  return kOk;
}

}  // namespace

void add_convert(CLI::App& app, Action& action) {
  auto command = std::make_shared<ConvertCommand>();
  CLI::App* sub = app.add_subcommand("convert", "Write a checkpoint with fewer KV heads");
  sub->add_option("MODEL", command->model, "Model folder or GGUF file")->required();
  const std::string group = "Plan (a report, or a number of groups)";
  sub->add_option("--report", command->report, "Report of `qcqa search` on this model")->group(group);
  command->kv_option = sub->add_option("--kv", command->kv,
                                       "With --report: the best plan with at most this fraction of the KV cache, such "
                                       "as 0.5, that the layout can express")
                           ->group(group);
  command->point_option =
      sub->add_option("--point", command->point, "With --report: this point of the front")->group(group);
  command->groups_option =
      sub->add_option("--groups", command->groups, "Without a report: groups (KV heads) in every layer")->group(group);
  command->cardinality_option =
      sub->add_option("--cardinality", command->cardinality,
                      "With --groups: " + describe_choices(std::span<const Choice<Cardinality>>(kCardinalities)))
          ->group(group)
          ->capture_default_str();
  sub->add_option("--seed", command->merge.seed, "Seed of everything random")->group(group)->capture_default_str();
  command->fitness.add_to(*sub);
  sub->add_flag("--resume", command->resume,
                "Go on with the layers that an interrupted conversion to the same output has merged");
  command->merge.add_to(*sub, false);
  command->merge.calibration.tokenizer.add_to(*sub);
  command->output.add_to(*sub);
  command->compute.add_to(*sub);
  command->common.add_to(*sub);
  sub->callback([command, &action] { action = [command] { return run(*command); }; });
}

}  // namespace qcqa::cli
