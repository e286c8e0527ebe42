#pragma once

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

#include "cli/tokenizer_flag.hpp"
#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/text/corpus.hpp"

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
};

/// The rows of --bos.
[[nodiscard]] BosRule parse_bos(const std::string& text);

/// A corpus cut into windows; they refer to it.
struct EvaluationText {
  Corpus corpus;
  std::vector<TokenSequence> windows;
  std::size_t context = 0;
};

/// Reads and tokenizes; `model` gives the tokenizer and the bounds.
/// @throws Error(invalid_argument, corrupt, not_found, unsupported)
[[nodiscard]] EvaluationText read_text(const Model& model, const TextFlags& flags, Console& console);

}  // namespace qcqa::cli
