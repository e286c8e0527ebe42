#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace qcqa {

/// A text that turns a conversation into a prompt; `default` is the one that nobody has to ask for.
struct ChatTemplate {
  std::string name;
  std::string text;
};

/// The folder that transformers keeps further templates in, as NAME.jinja.
inline constexpr const char* kMoreTemplates = "additional_chat_templates";

/// The templates of a folder: chat_template.jinja with additional_chat_templates, or else `chat_template` of
/// tokenizer_config.json (a text, a list of templates or a map of them), or else chat_template.json.
/// @param config  tokenizer_config.json
/// @throws Error(corrupt, io)
[[nodiscard]] std::vector<ChatTemplate> read_chat_templates(const std::filesystem::path& folder,
                                                            const nlohmann::json& config);

}  // namespace qcqa
