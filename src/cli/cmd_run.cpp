#include <cstdio>
#include <memory>
#include <optional>

#include "cli/commands.hpp"
#include "cli/evaluate_flags.hpp"
#include "cli/fitness_flag.hpp"
#include "cli/flags.hpp"
#include "cli/freed_memory.hpp"
#include "cli/merge_flags.hpp"
#include "cli/open_model.hpp"
#include "cli/output_text.hpp"
#include "cli/search_text.hpp"
#include "cli/text_flags.hpp"
#include "qcqa/pipeline/conversion.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

struct RunCommand {
  FamilyFlag family;
  std::string model;
  double kv = 0.5;
  bool resume = false;
  TextFlags text;
  ComputeFlags compute;
  IncreaseLimit limit;
  CommonFlags common;
  FitnessFlag fitness;
  SearchFlags search;
  OutputFlags output;
  MergeFlags merge;
};

ConversionSettings settings_of(const RunCommand& command, int threads) {
  ConversionSettings settings;
  settings.plan.kv = command.kv;
  settings.search = command.search.resolve(threads);
  settings.fitness = command.fitness.resolve();
  settings.merge = command.merge.resolve();
  settings.text = command.text.resolve();
  settings.calibration = command.merge.calibration.resolve();
  settings.calibration.tokenizer = settings.text.tokenizer;
  settings.output = command.output.resolve();
  settings.forward = command.compute.resolve(command.common.device);
  return settings;
}

int run(const RunCommand& command) {
  if (command.limit.resolve() && !command.text.given()) {
    throw Error(ErrorKind::invalid_argument, "--max-perplexity-increase", "needs --text or --token-ids", "neither");
  }
  const int threads = command.common.apply_threads();
  ConversionSettings settings = settings_of(command, threads);
  Console console = command.common.console();
  const Model model = open_model(command.model, console, command.family);
  settings.merge.reconstruct.scope = command.merge.fit.scope(model);
  console.note(preamble(model, "run"));
  keep_freed_memory();
  Conversion conversion(model, settings, console.session({}, resume_of(command.resume, command.output.force)));
  const Report& report = conversion.plan();
  if (!command.common.quiet) std::printf("%s", search_summary(report).c_str());
  if (settings.output.dry_run) {
    print_preview(model, conversion.preview(), conversion.needs(), report, console);
    return kOk;
  }
  (void)conversion.merge();
  print_output(model, conversion.write(), *report.plan, conversion.export_options(), command.output.output, console);
  const std::optional<Evaluation> evaluation = conversion.evaluate();
  conversion.finish();
  if (!evaluation) return kOk;
  std::printf("%s", evaluation_summary(*evaluation, conversion.evaluated_on()).c_str());
  return check_increase(*evaluation, command.limit, console);
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
  command->family.add_to(*sub);
  command->common.add_to(*sub);
  sub->callback([command, &action] { action = [command] { return run(*command); }; });
}

}  // namespace qcqa::cli
