#include "cli/fitness_flag.hpp"

#include <vector>

#include "cli/choice.hpp"

namespace qcqa::cli {
namespace {

const std::vector<Choice<std::optional<FitnessKind>>>& fitness_choices() {
  static const std::vector<Choice<std::optional<FitnessKind>>> kChoices = [] {
    std::vector<Choice<std::optional<FitnessKind>>> choices = {
        {"auto", std::nullopt, "what the chosen merge loses; in search, wse"}};
    for (const FitnessInfo& info : fitness_infos()) choices.push_back({info.name, info.kind, info.help});
    return choices;
  }();
  return kChoices;
}

}  // namespace

void FitnessFlag::add_to(CLI::App& command) {
  command
      .add_option("--fitness", fitness, "What the search minimises: " + describe_choices(std::span(fitness_choices())))
      ->group("Search")
      ->capture_default_str();
}

std::optional<FitnessKind> FitnessFlag::resolve() const {
  return parse_choice(std::span(fitness_choices()), fitness, "--fitness");
}

}  // namespace qcqa::cli
