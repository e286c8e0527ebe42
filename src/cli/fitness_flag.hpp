#pragma once

#include <CLI/CLI.hpp>

#include <optional>
#include <string>

#include "qcqa/fitness/fitness_kind.hpp"

namespace qcqa::cli {

/// --fitness.
struct FitnessFlag {
  std::string fitness = "auto";

  void add_to(CLI::App& command);
  /// Nothing: what the merge loses, or wse. @throws Error(invalid_argument)
  [[nodiscard]] std::optional<FitnessKind> resolve() const;
};

}  // namespace qcqa::cli
