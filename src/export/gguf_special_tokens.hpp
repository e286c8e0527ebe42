#pragma once

#include "checkpoint/gguf.hpp"
#include "qcqa/model/model.hpp"
#include "text/tokenizer_description.hpp"

namespace qcqa {

/// tokenizer.ggml.*_token_id and add_*_token, by the rules of SpecialVocab in llama.cpp's Python package: what the
/// tokenizer names, or else config.json. Notes what GGUF cannot say.
void add_special_tokens(GgufMetadata& keys, const Model& model, const TokenizerDescription& tokenizer,
                        std::int64_t rows, std::vector<std::string>& notes);

/// tokenizer.chat_template, tokenizer.chat_template.NAME and tokenizer.chat_templates.
void add_chat_templates(GgufMetadata& keys, const Model& model, const TokenizerDescription& tokenizer);

}  // namespace qcqa
