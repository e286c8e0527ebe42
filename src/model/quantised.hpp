#pragma once

#include <filesystem>

#include <nlohmann/json.hpp>

#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// Refuses weights that are stored quantised: says which kind, by what config.json says of it or else by the names and
/// types of the tensors, and what makes weights of them that can be read.
/// @throws Error(unsupported)
void refuse_quantised(const nlohmann::ordered_json& config, const Checkpoint& checkpoint,
                      const std::filesystem::path& config_file);

}  // namespace qcqa
