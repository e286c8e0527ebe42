#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

#include "text/sentencepiece/sentencepiece_model.hpp"
#include "text/tokenizer_settings.hpp"

namespace qcqa {

/// vocab.json and merges.txt, the files of GPT-2 and its relatives, as the `model` of a tokenizer.json.
/// @throws Error(not_found, io, corrupt)
[[nodiscard]] nlohmann::json read_vocab_and_merges(const std::filesystem::path& folder);

/// A tokenizer.model as the plain class of transformers 5 makes a tokenizer.json of it, with everything but the added
/// tokens. `added`: names that take the place of a piece, by id.
[[nodiscard]] nlohmann::json sentencepiece_document(const SentencePieceModel& pieces,
                                                    const std::vector<AddedToken>& added, bool legacy);

/// The `model` that the other classes make of it: merges in the order of ids, whatever the scores are.
[[nodiscard]] nlohmann::json sentencepiece_bpe(const SentencePieceModel& pieces);

/// The pieces that are added tokens: control pieces, which are special, and user-defined ones.
[[nodiscard]] std::vector<AddedToken> sentencepiece_added(const SentencePieceModel& pieces, bool user_defined);

}  // namespace qcqa
