#include "cli/merge_flags.hpp"

#include <array>
#include <charconv>
#include <span>

#include "cli/choice.hpp"
#include "cli/flags.hpp"
#include "qcqa/support/error.hpp"

namespace qcqa::cli {
namespace {

constexpr const char* kAutoMerge = "auto";

std::vector<Choice<MergeKind>> merge_choices() {
  std::vector<Choice<MergeKind>> choices;
  for (const MergeMethod* method : merge_methods()) choices.push_back({method->name, method->kind, method->help});
  return choices;
}

constexpr std::array<Choice<ReconstructScope>, 2> kScopes = {{
    {"attention", ReconstructScope::attention, "all else stays byte for byte"},
    {"block", ReconstructScope::block, "MLP and its norms too"},
}};

}  // namespace

void MergeFlags::add_to(CLI::App& command, bool with_auto) {
  const std::string group = "Merge";
  std::string kinds = describe_choices(std::span<const Choice<MergeKind>>(merge_choices()));
  if (with_auto) {
    merge = kAutoMerge;
    kinds = "auto (the best within --time-limit: reconstruct or refit with --calibrate self if it can be), " + kinds;
    command
        .add_option("--time-limit", time_limit, "Longest time that --merge auto may plan for, such as 90s, 30m or 2h")
        ->group(group)
        ->capture_default_str();
  }
  command.add_option("--merge", merge, "How a group's heads become one: " + kinds)->group(group)->capture_default_str();
  calibration.add_to(command);
  command
      .add_option("--reconstruct", reconstruct,
                  "What --merge refit and reconstruct may change: " +
                      describe_choices(std::span<const Choice<ReconstructScope>>(kScopes)))
      ->group(group)
      ->capture_default_str();
  command
      .add_option("--reconstruct-steps", steps,
                  "Steps of reconstruction per layer; 0: deep models gain more from those of all together")
      ->group(group)
      ->capture_default_str();
  command
      .add_option("--distill-steps", distill_steps,
                  "Steps that then fit all layers together to the original's predictions; none "
                  "where the layers with gradients and moments need more than --memory")
      ->group(group)
      ->capture_default_str();
  command.add_option("--memory", memory, "Memory for calibration activations; more go to a file beside the output")
      ->group(group)
      ->capture_default_str();
}

MergeSettings MergeFlags::resolve() const {
  MergeSettings settings;
  if (merge != kAutoMerge) {
    settings.kind = parse_choice(std::span<const Choice<MergeKind>>(merge_choices()), merge, "--merge");
  }
  settings.reconstruct.scope =
      parse_choice(std::span<const Choice<ReconstructScope>>(kScopes), reconstruct, "--reconstruct");
  settings.reconstruct.steps = steps;
  settings.reconstruct.distill_steps = distill_steps;
  settings.memory = parse_size(memory, "--memory");
  settings.time_limit = parse_duration(time_limit, "--time-limit");
  if (steps < 0)
    throw Error(ErrorKind::invalid_argument, "--reconstruct-steps", "must be at least 0", std::to_string(steps));
  if (distill_steps < 0) {
    throw Error(ErrorKind::invalid_argument, "--distill-steps", "must be at least 0", std::to_string(distill_steps));
  }
  return settings;
}

double parse_duration(const std::string& text, const std::string& option) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  static constexpr std::array<std::pair<std::string_view, double>, 4> kUnits = {
      {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}}};
  for (const auto& [name, seconds] : kUnits) {
    if (error == std::errc() && unit == name && number > 0 && number * seconds < 1e9) return number * seconds;
  }
  throw Error(ErrorKind::invalid_argument, option, "must be a positive time such as 90s, 30m or 1.5h", text);
}

}  // namespace qcqa::cli
