#pragma once

#include <filesystem>
#include <memory>

#include "text/text_model.hpp"

namespace qcqa {

/// A tokenizer.json of the tokenizers package: added tokens, normalizer, pre-tokenizer, BPE, decoder. Its truncation
/// and padding are left out on purpose: they describe batches, not the text.
/// @throws Error(not_found, io, corrupt, unsupported)
[[nodiscard]] std::unique_ptr<const TextModel> open_json_tokenizer(const std::filesystem::path& file);

}  // namespace qcqa
