#include <array>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>

#include "cli/choice.hpp"
#include "cli/commands.hpp"
#include "cli/evaluate_flags.hpp"
#include "cli/fitness_flag.hpp"
#include "cli/flags.hpp"
#include "cli/freed_memory.hpp"
#include "cli/merge_flags.hpp"
#include "cli/open_model.hpp"
#include "cli/output_text.hpp"
#include "cli/search_text.hpp"
#include "qcqa/pipeline/conversion.hpp"
#include "qcqa/pipeline/merge_choice.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

constexpr std::array<Choice<Cardinality>, 3> kCardinalities = {{
    {"contiguous", Cardinality::contiguous, "neighbouring heads, as GQA"},
    {"equal", Cardinality::equal, "the best groups of equal size"},
    {"arbitrary", Cardinality::arbitrary, "the best groups of any size"},
}};

struct ConvertCommand {
  FamilyFlag family;
  std::string model, report;
  double kv = 0;
  int point = -1, groups = 0;
  bool resume = false;
  std::uint64_t seed = 0;
  std::string cardinality = "contiguous";
  CLI::Option *kv_option = nullptr, *point_option = nullptr, *groups_option = nullptr, *cardinality_option = nullptr;
  CommonFlags common;
  OutputFlags output;
  FitnessFlag fitness;
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

ConversionSettings settings_of(const ConvertCommand& command, int threads) {
  ConversionSettings settings;
  settings.plan = {.report = command.report,
                   .point = command.point_option->count() > 0 ? std::optional(command.point) : std::nullopt,
                   .groups = command.groups_option->count() > 0 ? std::optional(command.groups) : std::nullopt,
                   .cardinality = parse_choice(std::span<const Choice<Cardinality>>(kCardinalities),
                                               command.cardinality, "--cardinality"),
                   .kv = command.kv};
  settings.search.layer.seed = command.seed;
  settings.search.threads = threads;
  settings.fitness = command.fitness.resolve();
  settings.merge = command.merge.resolve();
  settings.calibration = command.merge.calibration.resolve();
  settings.output = command.output.resolve();
  settings.forward = command.compute.resolve(command.common.device);
  return settings;
}

int run(const ConvertCommand& command) {
  check_choice_of_plan(command);
  const int threads = command.common.apply_threads();
  ConversionSettings settings = settings_of(command, threads);
  Console console = command.common.console();
  const Model model = open_model(command.model, console, command.family);
  settings.merge.reconstruct.scope = command.merge.fit.scope(model);
  console.note(preamble(model, "convert"));
  keep_freed_memory();
  Conversion conversion(model, settings, console.session({}, resume_of(command.resume, command.output.force)));
  const Report& report = conversion.plan();
  if (settings.output.dry_run) {
    print_preview(model, conversion.preview(), conversion.needs(), report, console);
    return kOk;
  }
  (void)conversion.merge();
  print_output(model, conversion.write(), *report.plan, conversion.export_options(), command.output.output, console);
  conversion.finish();
  if (!command.common.quiet) {
    const std::string hint =
        better_merge(model, conversion.export_options().merge, settings.merge, settings.calibration, settings.forward);
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
  sub->add_option("--seed", command->seed, "Seed of everything random")->group(group)->capture_default_str();
  command->fitness.add_to(*sub);
  sub->add_flag("--resume", command->resume,
                "Go on with the layers that an interrupted conversion to the same output has merged");
  command->merge.add_to(*sub, false);
  command->merge.calibration.tokenizer.add_to(*sub);
  command->output.add_to(*sub);
  command->compute.add_to(*sub);
  command->family.add_to(*sub);
  command->common.add_to(*sub);
  sub->callback([command, &action] { action = [command] { return run(*command); }; });
}

}  // namespace qcqa::cli
