#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "qcqa/text/documents.hpp"
#include "qcqa/text/tokenizer.hpp"
#include "qcqa/text/windows.hpp"

namespace qcqa {

/// Whether documents begin with BOS; the rule is stated at SpecialTokens.
enum class BosRule {
  as_tokenizer,  ///< with the special tokens that the tokenizer itself puts there
  always,
  never,
};

/// What stands around a text by this rule. @throws Error(invalid_argument) when the tokenizer has no BOS to give
[[nodiscard]] TextFrame frame_of(const Tokenizer& tokenizer, BosRule rule);

struct CorpusOptions {
  WindowOptions windows;
  BosRule bos = BosRule::as_tokenizer;  ///< for text; token ids are taken as they are
  std::size_t max_documents = 0;        ///< 0: all; documents without a target do not count
  std::size_t max_tokens = 0;           ///< predicted tokens, 0: all; the last window is cut to fit exactly
  std::string field = "text";           ///< member of a .jsonl line that holds the text
};

/// Texts as a model takes them.
struct Corpus {
  std::vector<TokenDocument> documents;
  std::vector<Window> windows;
  std::size_t targets = 0;  ///< tokens to predict
  bool has_bos = false;     ///< documents begin with BOS
  bool has_eos = false;     ///< documents end with EOS, unless they are cut

  [[nodiscard]] std::span<const TokenId> ids(const Window& window) const {
    return std::span(documents[window.document].ids).subspan(window.begin, window.length);
  }
};

/// What to read where this many tokens are wanted: 64 bytes for each, more than any vocabulary needs on average.
[[nodiscard]] DocumentLimits document_limits(std::size_t tokens);

/// Reads texts (see for_each_document) and tokenizes them.
/// With `max_tokens`, a document is cut at document_limits() before it is tokenized.
/// @throws Error(invalid_argument) when there is nothing to predict or BOS is asked for and unknown; and as
///   for_each_document
[[nodiscard]] Corpus read_corpus(const std::filesystem::path& text, const Tokenizer& tokenizer,
                                 const CorpusOptions& options);

/// Reads token ids: one document per line, either a JSON array or integers with white space between; blank lines are
/// skipped. No BOS is added (the rule is stated at SpecialTokens).
/// @param vocabulary_size  ids are below it (rows of the model's embedding)
/// @throws Error(corrupt) naming the line
[[nodiscard]] Corpus read_token_ids(const std::filesystem::path& file, std::size_t vocabulary_size,
                                    const CorpusOptions& options);

}  // namespace qcqa
