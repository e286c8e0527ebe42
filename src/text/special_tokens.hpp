#pragma once

#include <filesystem>

#include "text/tokenizer_description.hpp"

namespace qcqa {

/// Which ids begin and end a text: those of the tokenizer, and where it names no BOS, those of generation_config.json
/// and config.json. Every file may add ends of text (chat models have several).
/// @param frame  what is put around a text
/// @param size   ids are below it
/// @param notes  gets a line when a file cannot be read
[[nodiscard]] SpecialTokens find_special_tokens(const std::filesystem::path& model_folder,
                                                const TokenizerDescription& tokenizer, const TextFrame& frame,
                                                std::size_t size, std::vector<std::string>& notes);

}  // namespace qcqa
