#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "qcqa/export/export.hpp"

namespace qcqa {

/// The files of a model's folder beside its weights, config.json and README (which are written anew) and hidden files.
struct SideFiles {
  /// What belongs to the model whatever its weights are: tokenizer and its templates, generation settings, licence,
  /// remote code, ... Relative to the folder.
  std::vector<std::filesystem::path> copied;
  /// What belongs to the old weights or to nobody: other formats of them, what describes them, folders.
  std::vector<std::string> left_out;
};
[[nodiscard]] SideFiles side_files(const Model& model);

/// Copies one of them. @throws Error(io)
void copy_side_file(const std::filesystem::path& from, const std::filesystem::path& to);

/// README.md of the converted model: what it is, how it was made, what it saves.
[[nodiscard]] std::string model_card(const Model& model, const Plan& plan, const ExportOptions& options,
                                     const ExportSummary& summary);

}  // namespace qcqa
