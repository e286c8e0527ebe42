#pragma once

#include <filesystem>
#include <vector>

#include <nlohmann/json.hpp>

#include "checkpoint/json_file.hpp"
#include "checkpoint/json_view.hpp"
#include "model/attention_weights.hpp"
#include "support/advice.hpp"

namespace qcqa {

inline constexpr const char* kSummaryFile = "layer.json";

/// A small checkpoint and what is to say about it, in a folder that is there whole or not at all.
/// @throws Error(io)
void keep_tensors(const std::filesystem::path& folder, const std::vector<TensorBytes>& tensors,
                  const nlohmann::json& summary);

/// Reads the summary that keep_tensors() wrote, for as long as `read` takes. @throws Error(corrupt)
auto with_summary(const std::filesystem::path& folder, const auto& read) {
  const std::filesystem::path file = folder / kSummaryFile;
  const nlohmann::json document = read_json_file(file, kStartOver);
  return read(JsonView(document, file.string(), kStartOver));
}

/// A number of steps in a summary.
[[nodiscard]] int steps_of(const JsonView& summary, const char* key);

}  // namespace qcqa
