#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "byte_level_bpe.hpp"
#include "tiny_llama.hpp"

namespace qcqa::examples {

/// Writes config.json, generation_config.json, tokenizer.json, tokenizer_config.json,
/// special_tokens_map.json and model.safetensors (float32), as `save_pretrained` of Hugging Face's
/// transformers would. The folder is created; files of the same names in it are replaced.
void save_model(const std::filesystem::path& folder, const TinyLlama& model, const ByteLevelBpe& tokenizer);

/// One JSON object per line with the field "text".
void save_stories(const std::filesystem::path& file, const std::vector<std::string>& stories);

}  // namespace qcqa::examples
