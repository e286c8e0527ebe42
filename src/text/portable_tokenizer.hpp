#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace qcqa {

/// A tokenizer in two files that mean the same beside every model.
struct PortableTokenizer {
  nlohmann::json tokenizer;  ///< tokenizer.json
  nlohmann::json config;     ///< tokenizer_config.json, of the class that follows tokenizer.json to the letter
};

/// transformers lets the type of a model decide how the files of its tokenizer are read. Where files that are copied
/// beside a model of another type would give other ids, this is what to write in their place; else nothing.
/// @param model_type  of the other model
/// @throws what describe_tokenizer does
[[nodiscard]] std::optional<PortableTokenizer> tokenizer_beside(const std::filesystem::path& folder,
                                                                const std::string& model_type);

}  // namespace qcqa
