#pragma once

#include <memory>

#include "text/text_model.hpp"
#include "text/tokenizer_description.hpp"

namespace qcqa {

/// A tokenizer as the tokenizers package runs it: added tokens, normalizer, pre-tokenizer, model, decoder. Truncation
/// and padding are left out on purpose: they describe batches, not the text.
/// @throws Error(corrupt, unsupported)
[[nodiscard]] std::unique_ptr<const TextModel> make_json_tokenizer(const TokenizerDescription& description);

}  // namespace qcqa
