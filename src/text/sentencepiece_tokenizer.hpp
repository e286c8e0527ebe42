#pragma once

#include <filesystem>
#include <memory>

#include "text/text_model.hpp"

namespace qcqa {

/// A tokenizer.model, read by the SentencePiece library (Kudo & Richardson 2018, arXiv 1808.06226).
/// @throws Error(not_found, io, corrupt)
[[nodiscard]] std::unique_ptr<const TextModel> open_sentencepiece(const std::filesystem::path& file);

}  // namespace qcqa
