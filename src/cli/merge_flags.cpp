#include "cli/merge_flags.hpp"

#include <span>
#include <string>

#include "cli/choice.hpp"

namespace qcqa::cli {
namespace {

constexpr const char* kAutoMerge = "auto";

std::vector<Choice<MergeKind>> merge_choices() {
  std::vector<Choice<MergeKind>> choices;
  for (const MergeMethod* method : merge_methods()) choices.push_back({method->name, method->kind, method->help});
  return choices;
}

}  // namespace

void MergeFlags::add_to(CLI::App& command, bool with_auto) {
  const std::string group = "Merge";
  std::string kinds = describe_choices(std::span<const Choice<MergeKind>>(merge_choices()));
  if (with_auto) {
    merge = kAutoMerge;
    kinds = "auto (the best within --time-limit: reconstruct or refit with --calibrate self if it can be), " + kinds;
    fit.add_time_limit_to(command, "--merge auto");
  }
  command.add_option("--merge", merge, "How a group's heads become one: " + kinds)->group(group)->capture_default_str();
  calibration.add_to(command);
  fit.add_scope_to(command);
  command
      .add_option("--reconstruct-steps", steps,
                  "Steps of reconstruction per layer; 0: deep models gain more from those of all together")
      ->group(group)
      ->capture_default_str();
  command
      .add_option("--distill-steps", distill_steps,
                  std::string("Steps that then fit all layers together to the original's predictions; none "
                              "where the layers with gradients and moments need more than --memory") +
                      (with_auto ? ". --merge auto takes as many as fill the time that is left, where those of "
                                   "--reconstruct-steps take too long for it; 0: none"
                                 : ""))
      ->group(group)
      ->capture_default_str();
  fit.add_memory_to(command, "calibration activations; more go to a file beside the output");
}

MergeSettings MergeFlags::resolve() const {
  MergeSettings settings;
  if (merge != kAutoMerge) {
    settings.kind = parse_choice(std::span<const Choice<MergeKind>>(merge_choices()), merge, "--merge");
  }
  settings.reconstruct.steps = require_steps("--reconstruct-steps", steps, 0);
  settings.reconstruct.distill_steps = require_steps("--distill-steps", distill_steps, 0);
  settings.memory = fit.memory();
  settings.time_limit = fit.time_limit();
  return settings;
}

}  // namespace qcqa::cli
