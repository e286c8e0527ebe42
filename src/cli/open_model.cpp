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

/// @throws Error(unsupported) that names families whose tensors those of an unknown model_type are, if there are any
void suggest_family(const std::filesystem::path& path) {
  const auto [model_type, families] = Model::families_that_fit(path);
  if (families.empty()) return;
  static constexpr std::size_t kShown = 3;
  const std::size_t shown = std::min(families.size(), kShown);
  std::string names = fmt::format("{}", fmt::join(std::span(families).first(shown), ", "));
  if (shown < families.size()) names += fmt::format(" and {} more", families.size() - shown);
  throw Error(ErrorKind::unsupported, (path / "config.json").string(), "no description of this model_type",
              (model_type.empty() ? "none" : "\"" + model_type + "\"") + ", with the tensors of " + names,
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
