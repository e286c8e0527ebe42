#include <fmt/format.h>

#include <memory>

#include "cli/calibration_flags.hpp"
#include "cli/commands.hpp"
#include "cli/evaluate_flags.hpp"
#include "cli/fit_flags.hpp"
#include "cli/flags.hpp"
#include "cli/freed_memory.hpp"
#include "cli/open_model.hpp"
#include "cli/output_text.hpp"
#include "cli/search_text.hpp"
#include "qcqa/pipeline/distill.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/human_bytes.hpp"

namespace qcqa::cli {
namespace {

constexpr const char* kFitGroup = "Fit";

struct DistillCommand {
  FamilyFlag family;
  std::string model, reference, output;
  int steps = 0;
  DistillSettings settings;
  bool resume = false, force = false;
  CLI::Option* steps_option = nullptr;
  FitFlags fit{"--scope", "the fit", kFitGroup};
  CalibrationFlags calibration;
  ComputeFlags compute;
  CommonFlags common;
};

DistillSettings settings_of(const DistillCommand& command) {
  DistillSettings settings = command.settings;
  if (command.steps_option->count() > 0) settings.steps = require_steps("--distill-steps", command.steps, 1);
  if (settings.rate && !(*settings.rate > 0 && *settings.rate < 1)) {
    throw Error(ErrorKind::invalid_argument, "--distill-rate", "must be above 0 and below 1",
                fmt::format("{}", *settings.rate));
  }
  settings.time_limit = command.fit.time_limit();
  settings.memory = command.fit.memory();
  settings.calibration = command.calibration.resolve();
  settings.forward = command.compute.resolve(command.common.device);
  settings.folder = output_folder(command.output);
  settings.overwrite = command.force ? Overwrite::replace : Overwrite::refuse;
  settings.command = command_line();
  return settings;
}

void print_outcome(const DistillCommand& command, const DistillOutcome& outcome) {
  fmt::print("{}: KL from the original {:.4f} -> {:.4f} nats on {} tokens that no step saw, {} steps, {:.1f} s\n",
             command.output, outcome.before.kl, outcome.after.kl, outcome.held_back_tokens, outcome.steps,
             outcome.seconds);
  fmt::print("Cross-entropy there: original {:.4f}, before {:.4f}, after {:.4f} nats per token\n",
             outcome.original_cross_entropy, outcome.before.cross_entropy, outcome.after.cross_entropy);
  print_left_out(outcome.left_out);
}

int run(const DistillCommand& command) {
  command.common.apply_threads();
  DistillSettings settings = settings_of(command);
  Console console = command.common.console();
  const Model model = open_model(command.model, console, command.family);
  settings.scope = command.fit.scope(model);
  const Model original = open_model(command.reference, console, command.family);
  console.note(preamble(model, "distill"));
  keep_freed_memory();
  const DistillOutcome outcome =
      distill(model, original, settings, console.session({}, resume_of(command.resume, command.force)));
  if (settings.dry_run) {
    fmt::print("Output: {} in all. Nothing was written (--dry-run).\n", human_bytes(outcome.file_bytes));
    print_left_out(outcome.left_out);
    return kOk;
  }
  if (!outcome.is_better()) {
    console.note(
        fmt::format("qcqa: no step brought {} nearer to {}: KL {:.4f} nats on {} tokens that no step saw, {:.4f} "
                    "before. Nothing was written; try more text, more steps or a lower --distill-rate.",
                    command.model, command.reference, outcome.after.kl, outcome.held_back_tokens, outcome.before.kl));
    return kLimitMissed;
  }
  print_outcome(command, outcome);
  return kOk;
}

}  // namespace

void add_distill(CLI::App& app, Action& action) {
  auto command = std::make_shared<DistillCommand>();
  CLI::App* sub = app.add_subcommand("distill", "Fit a converted model further to its original");
  sub->add_option("MODEL", command->model, "Folder of a converted model, in any layout that qcqa evaluate reads")
      ->required();
  sub->add_option("--reference", command->reference, "The model that MODEL was made from")->required();
  command->calibration.add_to(*sub, "the reference");
  command->fit.add_time_limit_to(*sub, "the fit");
  command->fit.add_scope_to(*sub);
  command->steps_option =
      sub->add_option("--distill-steps", command->steps,
                      "Steps of all layers together; without it, as many as --time-limit has room for. The fit ends "
                      "early where text that is kept apart has not gained for long")
          ->group(kFitGroup);
  sub->add_option(
         "--distill-rate", command->settings.rate,
         "How far the first steps go, as a share of a weight's size; falls to 0. Without it 0.001 to 0.003, by how "
         "far the predictions are off")
      ->group(kFitGroup);
  command->fit.add_memory_to(*sub, "all layers with gradients and moments, and for activations; more go to a file");
  sub->add_option("--seed", command->settings.seed, "Seed of everything random")
      ->group(kFitGroup)
      ->capture_default_str();
  command->calibration.tokenizer.add_to(*sub);
  sub->add_option(
         "-o,--output", command->output,
         "New folder for the fitted model, in the layout of MODEL. Where no step brings it nearer to the reference, "
         "nothing is written, and the exit code is 1")
      ->required()
      ->group(kOutputGroup);
  add_force(*sub, command->force);
  sub->add_flag("--dry-run", command->settings.dry_run, "Show steps, time and size; write nothing")
      ->group(kOutputGroup);
  sub->add_flag("--resume", command->resume, "Go on with an interrupted run of the same output");
  command->compute.add_to(*sub);
  command->family.add_to(*sub);
  command->common.add_to(*sub);
  sub->callback([command, &action] { action = [command] { return run(*command); }; });
}

}  // namespace qcqa::cli
