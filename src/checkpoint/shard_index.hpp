#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace qcqa {

/// Reads an `*.index.json`: tensor name -> file name. Only plain file names are let through.
/// @throws Error(not_found, io, corrupt)
[[nodiscard]] std::map<std::string, std::string> read_shard_index(
    const std::filesystem::path& path);

}  // namespace qcqa
