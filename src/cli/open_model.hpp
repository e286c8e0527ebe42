#pragma once

#include <CLI/CLI.hpp>

#include <filesystem>
#include <string>

#include "cli/console.hpp"
#include "qcqa/model/model.hpp"

namespace qcqa::cli {

/// --family, for every command that opens a model.
struct FamilyFlag {
  std::string name;

  void add_to(CLI::App& command);
};

/// Model::open for every command: what was decided on the way is said. A model_type that nothing is known of is taken
/// for one of the family's; without --family, the error names those that fit.
[[nodiscard]] Model open_model(const std::filesystem::path& path, Console& console, const FamilyFlag& family);

/// The input is never changed: @throws Error(invalid_argument) where `output` is one of its files.
void require_not_of_input(const std::filesystem::path& input, const std::filesystem::path& output);

}  // namespace qcqa::cli
