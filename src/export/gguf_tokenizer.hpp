#pragma once

#include "checkpoint/gguf.hpp"
#include "qcqa/model/model.hpp"

namespace qcqa {

/// The tokenizer.* keys of a GGUF file, from tokenizer.json (byte-level BPE, or BPE over bytes as Llama 2 has it) or
/// tokenizer.model (SentencePiece BPE). A folder without a tokenizer gives the keys that say so.
/// @param rows  of the embedding: as many tokens are written
/// @throws Error(unsupported) for a tokenizer that llama.cpp would not split text as
[[nodiscard]] GgufMetadata gguf_tokenizer(const Model& model, std::int64_t rows);

}  // namespace qcqa
