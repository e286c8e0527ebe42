#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "qcqa/export/export.hpp"

namespace qcqa {

/// Files of the model folder that belong to the model whatever its weights are: tokenizer, generation settings,
/// licence, remote code, ..., and the chat templates in additional_chat_templates. Not: weights in any format, config.json,
/// the README (the new one keeps its text), hidden files, other folders.
[[nodiscard]] std::vector<std::filesystem::path> side_files(const std::filesystem::path& folder);

/// README.md of the converted model: what it is, how it was made, what it saves.
[[nodiscard]] std::string model_card(const Model& model, const Plan& plan, const ExportOptions& options,
                                     const ExportSummary& summary);

}  // namespace qcqa
