#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "qcqa/text/tokenizer.hpp"

namespace qcqa::cli {

/// --tokenizer, for every command that reads a text.
struct TokenizerFlag {
  std::string kind = "transformers";

  void add_to(CLI::App& command);
  /// @throws Error(invalid_argument)
  [[nodiscard]] TokenizerKind resolve() const;
};

}  // namespace qcqa::cli
