#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "cli/calibration_flags.hpp"
#include "cli/fit_flags.hpp"
#include "qcqa/pipeline/settings.hpp"

namespace qcqa::cli {

/// How heads are merged, as named on the command line.
struct MergeFlags {
  std::string merge = "mean";
  CalibrationFlags calibration;
  FitFlags fit{"--reconstruct", "--merge refit and reconstruct", "Merge"};
  int steps = ReconstructOptions{}.steps;
  int distill_steps = ReconstructOptions{}.distill_steps;

  /// @param with_auto  whether the kind may be left open, and is by default
  void add_to(CLI::App& command, bool with_auto);
  /// @throws Error(invalid_argument)
  [[nodiscard]] MergeSettings resolve() const;
};

}  // namespace qcqa::cli
