#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "cli/calibration_flags.hpp"
#include "qcqa/pipeline/settings.hpp"

namespace qcqa::cli {

/// How heads are merged, as named on the command line.
struct MergeFlags {
  std::string merge = "mean";
  CalibrationFlags calibration;
  std::string reconstruct = "block";
  int steps = ReconstructOptions{}.steps;
  int distill_steps = ReconstructOptions{}.distill_steps;
  std::string memory = "4GiB";
  std::string time_limit = "1h";  ///< of --merge auto

  /// @param with_auto  whether the kind may be left open, and is by default
  void add_to(CLI::App& command, bool with_auto);
  /// @throws Error(invalid_argument)
  [[nodiscard]] MergeSettings resolve() const;
};

/// "90", "90s", "30m", "1.5h": seconds. @throws Error(invalid_argument)
[[nodiscard]] double parse_duration(const std::string& text, const std::string& option);

}  // namespace qcqa::cli
