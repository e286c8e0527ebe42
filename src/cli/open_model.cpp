#include "cli/open_model.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <span>
#include <system_error>

#include "qcqa/support/error.hpp"

namespace qcqa::cli {

namespace {

/// @throws Error(unsupported) that names families whose tensors those of an unknown model_type are, or nearly are
void suggest_family(const std::filesystem::path& path) {
  const Model::FittingFamilies fitting = Model::families_that_fit(path);
  const std::string type = fitting.model_type.empty() ? "none" : "\"" + fitting.model_type + "\"";
  const auto refuse = [&](const std::string& found, const std::string& fix) {
    throw Error(ErrorKind::unsupported, (path / "config.json").string(), "no description of this model_type",
                type + ", " + found, fix);
  };
  if (!fitting.nearest.empty()) {
    refuse("with the tensors of " + fitting.nearest + " but for " + fitting.difference,
           "Its class needs a description of its own: see \"Add a family\" in CONTRIBUTING.md.");
  }
  if (fitting.families.empty()) return;
  static constexpr std::size_t kShown = 3;
  const std::size_t shown = std::min(fitting.families.size(), kShown);
  std::string names = fmt::format("{}", fmt::join(std::span(fitting.families).first(shown), ", "));
  if (shown < fitting.families.size()) names += fmt::format(" and {} more", fitting.families.size() - shown);
  refuse("with the tensors of " + names,
         "If its class computes what one of these does, give that one's name with --family.");
}

}  // namespace

void FamilyFlag::add_to(CLI::App& command) {
  command.add_option("--family", name,
                     "Family that a model_type without a description is taken for, such as llama: its tensors must be "
                     "exactly those of one");
}

Model open_model(const std::filesystem::path& path, Console& console, const FamilyFlag& family) {
  // Models need their families as long as they live.
  static std::map<std::string, Families> families;
  if (!family.name.empty() && !families.contains(family.name))
    families.emplace(family.name, Families::built_in().with_unknown_as(family.name));
  Model model = [&] {
    if (!family.name.empty()) return Model::open(path, families.at(family.name));
    try {
      return Model::open(path);
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::unsupported) suggest_family(path);
      throw;
    }
  }();
  if (!family.name.empty() && !model.settings().is_taken_for_family())
    console.remark(path.string() + " is a " + model.architecture().family +
                   " by its model_type, whatever --family says");
  for (const std::string& note : model.notes()) console.remark(note);
  return model;
}

void require_not_of_input(const std::filesystem::path& input, const std::filesystem::path& output) {
  std::error_code ignored;
  if (!std::filesystem::exists(output, ignored) || !std::filesystem::exists(input, ignored)) return;
  const auto inner = std::filesystem::canonical(output, ignored);
  const auto outer = std::filesystem::canonical(input, ignored);
  if (std::ranges::mismatch(inner, outer).in2 != outer.end()) return;
  throw Error(ErrorKind::invalid_argument, output.string(), "the output must not be a file of the input",
              input.string(), "Choose another name.");
}

}  // namespace qcqa::cli
