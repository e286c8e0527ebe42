#pragma once

#include <filesystem>

#include "text/text_model.hpp"

namespace qcqa {

/// Which ids begin and end a text, from the first file that says so: tokenizer_config.json, special_tokens_map.json,
/// the tokenizer itself, generation_config.json, config.json. All of those may be missing. Every file may add ends of
/// text (chat models have several). The BOS rule is stated at SpecialTokens.
/// @throws Error(corrupt)
[[nodiscard]] SpecialTokens find_special_tokens(const std::filesystem::path& model_folder, const TextModel& model);

}  // namespace qcqa
