#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace qcqa::testing {

/// A byte-level BPE as GPT-2's: ids 0 to 255 are the bytes in the order of their spelling, then " t", "he", " the",
/// "ll"; 260 is the special token "<|end|>".
[[nodiscard]] nlohmann::json byte_level_json();

/// A BPE with byte_fallback as Llama 2's: 0 "<unk>", 1 "<s>", 2 "</s>", 3 to 258 the byte tokens, then
/// "\u2581", "a", "b", "A", "\u2581a", "ab", "\u2581ab".
[[nodiscard]] nlohmann::json fallback_json();

/// One piece of a SentencePiece model.
struct PicoPiece {
  std::string text;
  float score;
  int kind;  ///< 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
};

/// The pieces of fallback_json(), as SentencePiece stores them.
[[nodiscard]] std::vector<PicoPiece> fallback_pieces();
/// A tokenizer.model. @param algorithm  1 unigram, 2 BPE
[[nodiscard]] std::string sentencepiece_bytes(const std::vector<PicoPiece>& pieces, int algorithm, bool byte_fallback);

}  // namespace qcqa::testing
