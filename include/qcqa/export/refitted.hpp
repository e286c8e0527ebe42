#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "qcqa/checkpoint/staged_output.hpp"
#include "qcqa/checkpoint/writer.hpp"
#include "qcqa/model/model.hpp"
#include "qcqa/support/progress.hpp"

namespace qcqa {

/// A model's folder with other values in some of its tensors.
struct RefittedFolder {
  /// Opened from a folder; Model::with() put the values there. Its tensors are written under the names and in the types
  /// and shapes that they have.
  const Model& model;
  WriterOptions writer{};
  /// Name and content of files in the place of the model's own of these names, or beside them.
  std::vector<std::pair<std::string, std::string>> files{};
};

struct RefittedSummary {
  std::uint64_t tensor_bytes = 0;
  std::uint64_t file_bytes = 0;         ///< of the weights and all other files
  std::vector<std::string> left_out{};  ///< files of the model's folder that are not in the output
};

/// Throws Error(unsupported) for a model that no folder of the same kind can be written of: GGUF, quantised weights.
void require_refittable(const Model& model);

/// What write_refitted() would write. Touches no tensor byte and no disk.
[[nodiscard]] RefittedSummary preview_refitted(const RefittedFolder& folder);

/// Writes a complete folder that appears whole or not at all. config.json, tokenizer, code and whatever else is the
/// model's and not its old weights' is copied byte for byte.
/// @throws as export_model
RefittedSummary write_refitted(const RefittedFolder& folder, const std::filesystem::path& target, Overwrite overwrite,
                               const ProgressFn& progress = {});

}  // namespace qcqa
