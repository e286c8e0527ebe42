#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "qcqa/text/corpus.hpp"

namespace qcqa {

/// A way to go on from a context.
struct ChoiceTokens {
  std::vector<TokenId> ids;      ///< the context's and the choice's
  std::size_t first_target = 1;  ///< those of the choice begin here
  std::size_t characters = 0;    ///< code points of the choice, without white space that came from the context
};

struct ChoiceQuestion {
  std::vector<ChoiceTokens> choices;
  std::size_t answer = 0;  ///< the choice that is right
};

/// Reads questions, one per line: {"context": "...", "choices": ["...", ...], "answer": 0}. Blank lines are skipped.
/// Tokens are those of EleutherAI's lm-evaluation-harness (0.4.13, `_encode_pair`): context and choice are joined as
/// they are, but white space at the end of a context belongs to the choice; the choice's tokens are what the joined
/// text has more than the context; an empty context is BOS alone, or EOS for a tokenizer without BOS; and what exceeds
/// `context` is cut off at the left.
/// @param context  tokens that the model sees, at least 2; the last token of a choice counts as one of them
/// @throws Error(not_found, io), Error(corrupt, unsupported) naming the line, Error(invalid_argument) for no questions
[[nodiscard]] std::vector<ChoiceQuestion> read_choices(const std::filesystem::path& file, const Tokenizer& tokenizer,
                                                       BosRule bos, std::size_t context);

}  // namespace qcqa
