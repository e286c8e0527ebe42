#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "qcqa/model/model.hpp"
#include "qcqa/pipeline/session.hpp"
#include "qcqa/pipeline/settings.hpp"
#include "qcqa/text/choices.hpp"
#include "qcqa/text/token_sequences.hpp"

namespace qcqa {

/// A corpus cut into windows; they refer to it.
struct EvaluationText {
  Corpus corpus;
  std::vector<TokenSequence> windows;
  std::size_t context = 0;
};

/// Reads and tokenizes; `model` gives the tokenizer and the bounds.
/// @throws Error(invalid_argument, corrupt, not_found, unsupported)
[[nodiscard]] EvaluationText read_text(const Model& model, const TextSettings& settings, const Session& session);

/// Reads and tokenizes multiple-choice questions; of `settings` the context, the BOS rule and the tokenizer count.
/// @throws as read_text
[[nodiscard]] std::vector<ChoiceQuestion> read_questions(const Model& model, const std::filesystem::path& file,
                                                         const TextSettings& settings, const Session& session);

/// Words for what an evaluation was on: context, BOS.
[[nodiscard]] std::string words_for(const EvaluationText& text);

/// The model's tokenizer; what it decided is said.
[[nodiscard]] Tokenizer open_tokenizer(const Model& model, TokenizerKind kind, const Session& session);

/// @param rows  of the embedding  @throws Error(unsupported) naming a token that has none
void require_rows(std::span<const TokenId> ids, const Tokenizer& tokenizer, std::size_t rows);

}  // namespace qcqa
