#include "cli/fit_flags.hpp"

#include <array>
#include <charconv>
#include <span>
#include <string>

#include "cli/choice.hpp"
#include "cli/flags.hpp"
#include "qcqa/support/error.hpp"
#include "qcqa/support/human_bytes.hpp"

namespace qcqa::cli {
namespace {

constexpr std::array<Choice<ReconstructScope>, 2> kScopes = {{
    {"attention", ReconstructScope::attention, "all else stays byte for byte"},
    {"block", ReconstructScope::block,
     "MLP and its norms too; not those of experts, for which attention is the default"},
}};

}  // namespace

void FitFlags::add_scope_to(CLI::App& command) {
  command
      .add_option(
          name_, scope_,
          "What " + whose_ + " may change: " + describe_choices(std::span<const Choice<ReconstructScope>>(kScopes)))
      ->group(group_)
      ->default_str("block");
}

void FitFlags::add_memory_to(CLI::App& command, const std::string& kept) {
  std::string usual = human_bytes(static_cast<double>(MergeOptions{}.memory));
  std::erase(usual, ' ');  // as one would type it
  command.add_option("--memory", memory_, "Memory for " + kept)->group(group_)->default_str(usual);
}

void FitFlags::add_time_limit_to(CLI::App& command, const std::string& who) {
  command.add_option("--time-limit", time_limit_, "Longest time that " + who + " may plan for, such as 90s, 30m or 2h")
      ->group(group_)
      ->capture_default_str();
}

ReconstructScope FitFlags::scope(const Model& model) const {
  if (!scope_) return widest_scope(model);
  const ReconstructScope scope = parse_choice(std::span<const Choice<ReconstructScope>>(kScopes), *scope_, name_);
  require_scope(model, scope, name_);
  return scope;
}

std::uint64_t FitFlags::memory() const { return memory_ ? parse_size(*memory_, "--memory") : MergeOptions{}.memory; }

double FitFlags::time_limit() const { return parse_duration(time_limit_, "--time-limit"); }

int require_steps(const std::string& option, int steps, int least) {
  if (steps >= least) return steps;
  throw Error(ErrorKind::invalid_argument, option, "must be at least " + std::to_string(least), std::to_string(steps));
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
