#pragma once

#include <CLI/CLI.hpp>

#include <string>

#include "cli/tokenizer_flag.hpp"
#include "qcqa/pipeline/settings.hpp"

namespace qcqa::cli {

/// The text to evaluate on and how it is cut, as named on the command line.
struct TextFlags {
  std::string text, token_ids, bos = "auto";
  CorpusOptions options;
  bool truncate = false;
  TokenizerFlag tokenizer;
  CLI::Option *text_option = nullptr, *ids_option = nullptr;

  TextFlags() { options.windows.context = 0; }
  void add_to(CLI::App& command);
  [[nodiscard]] bool given() const { return !text.empty() || !token_ids.empty(); }
  /// @throws Error(invalid_argument)
  [[nodiscard]] TextSettings resolve() const;
};

}  // namespace qcqa::cli
