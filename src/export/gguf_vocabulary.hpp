#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/gguf.hpp"
#include "text/tokenizer_description.hpp"

namespace qcqa {

/// The tokens of a GGUF file by id.
struct GgufVocabulary {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> kinds;  ///< llama.cpp's token types are SentencePiece's kinds of piece

  void set(std::size_t id, std::string text, float score, PieceKind kind);
  /// A token that is looked for in the text before anything else. @param is_piece  of a tokenizer.model
  void set_user_defined(std::size_t id, const std::string& text, float score, bool is_piece);
  [[nodiscard]] bool is(std::size_t id, PieceKind kind) const { return kinds[id] == static_cast<std::int32_t>(kind); }
  /// Rows of the embedding that no token has get names that no text contains.
  void resize(std::size_t count);
  /// Adds the vocabulary's keys. @throws Error(unsupported) when there are more tokens than `rows`
  void put(GgufMetadata& keys, std::int64_t rows, bool with_scores, const std::filesystem::path& source) &&;
};

/// The keys for a byte-level BPE, as GPT-2's. @throws Error(unsupported)
void add_byte_level(GgufMetadata& keys, const TokenizerDescription& tokenizer, std::int64_t rows);

/// The keys for a BPE whose unknown characters become bytes, as Llama 2's. @throws Error(unsupported)
void add_byte_fallback(GgufMetadata& keys, const TokenizerDescription& tokenizer, std::int64_t rows);

/// Puts the added tokens into the vocabulary, but those that no file names and no row of the embedding has.
/// @throws Error(unsupported)
void set_added_tokens(GgufVocabulary& vocabulary, const TokenizerDescription& tokenizer, std::int64_t rows);

/// Refuses a tokenizer: the one advice for all of them.
[[noreturn]] void refuse_gguf_tokenizer(const std::string& where, const std::string& rule, const std::string& found);

}  // namespace qcqa
