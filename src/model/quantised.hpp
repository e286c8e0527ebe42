#pragma once

#include <filesystem>
#include <string_view>

#include <nlohmann/json.hpp>

#include "qcqa/checkpoint/checkpoint.hpp"

namespace qcqa {

/// Refuses weights that are stored quantised: says which kind, by what config.json says of it or else by the names and
/// types of the tensors, and what makes weights of them that can be read.
/// @param carried  a kind, by its quant_method, that the family's checkpoints may have outside attention; empty: none
/// @throws Error(unsupported)
void refuse_quantised(const nlohmann::ordered_json& config, const Checkpoint& checkpoint,
                      const std::filesystem::path& config_file, std::string_view carried = {});

}  // namespace qcqa
