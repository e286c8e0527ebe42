#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "qcqa/checkpoint/checkpoint.hpp"
#include "qcqa/checkpoint/writer.hpp"

namespace qcqa::testing {

/// Changes config.json of a model folder.
inline void edit_config(const std::filesystem::path& folder, const std::function<void(nlohmann::ordered_json&)>& edit) {
  auto config = nlohmann::ordered_json::parse(std::ifstream(folder / "config.json"));
  edit(config);
  std::ofstream(folder / "config.json") << config.dump(2);
}

/// A tensor as a test changes it.
struct EditedTensor {
  TensorSpec spec;
  std::vector<std::byte> bytes;
};

/// Rewrites model.safetensors of a folder with its tensors changed: renamed, removed, added.
void edit_tensors(const std::filesystem::path& folder, const std::function<void(std::vector<EditedTensor>&)>& edit);

}  // namespace qcqa::testing
