#pragma once

#include <string>
#include <vector>

#include "checkpoint/gguf.hpp"
#include "qcqa/model/model.hpp"

namespace qcqa {

/// What a GGUF file says of text.
struct GgufTokenizer {
  GgufMetadata keys;               ///< vocabulary, special ids, chat templates
  std::vector<std::string> notes;  ///< what a user should know, a line each
};

/// The tokenizer of the model's folder as llama.cpp's own conversion writes it down, special ids included.
/// @param rows  of the embedding; every one of them needs a token
/// @throws Error(unsupported) when llama.cpp would split text otherwise
[[nodiscard]] GgufTokenizer gguf_tokenizer(const Model& model, std::int64_t rows);

}  // namespace qcqa
