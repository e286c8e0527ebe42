#pragma once

#include <CLI/CLI.hpp>

#include <cstddef>
#include <span>
#include <string>

#include "cli/console.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/text/tokenizer.hpp"

namespace qcqa::cli {

/// --tokenizer, for every command that reads a text.
struct TokenizerFlag {
  std::string kind = "transformers";

  void add_to(CLI::App& command);
  /// The model's tokenizer; what it decided is said.
  [[nodiscard]] Tokenizer open(const Model& model, Console& console) const;
};

/// @param rows  of the embedding  @throws Error(unsupported) naming a token that has none
void require_rows(std::span<const TokenId> ids, const Tokenizer& tokenizer, std::size_t rows);

}  // namespace qcqa::cli
