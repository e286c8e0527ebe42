#pragma once

#include <nlohmann/json.hpp>

#include "checkpoint/gguf.hpp"

namespace qcqa {

/// The tokenizer of a GGUF file as the files that a Hugging Face folder would have it in.
struct GgufTokenizerFiles {
  nlohmann::json tokenizer;  ///< tokenizer.json
  nlohmann::json config;     ///< tokenizer_config.json, with the chat templates
};

/// Whether the file has a vocabulary.
[[nodiscard]] bool has_vocabulary(const GgufFile& file);

/// Texts get the ids that llama.cpp gives them, but for its treatment of spaces around added tokens.
/// @throws Error(not_found) without a vocabulary, Error(unsupported) for a kind of tokenizer or split that is not
/// known,
///         Error(corrupt)
[[nodiscard]] GgufTokenizerFiles gguf_tokenizer_files(const GgufFile& file);

}  // namespace qcqa
