#pragma once

#include <CLI/CLI.hpp>

#include "cli/tokenizer_flag.hpp"
#include "qcqa/pipeline/settings.hpp"

namespace qcqa::cli {

/// --calibrate and what belongs to it.
struct CalibrationFlags {
  CalibrationSettings settings;
  TokenizerFlag tokenizer;  ///< its option is the command's

  /// @param who  makes up text
  void add_to(CLI::App& command, const std::string& who = "the model");
  /// @throws Error(invalid_argument)
  [[nodiscard]] CalibrationSettings resolve() const;
};

}  // namespace qcqa::cli
