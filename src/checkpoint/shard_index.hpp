#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace qcqa {

/// Reads an `*.index.json`: tensor name -> file, relative to the index's folder and without "./".
/// Nothing that leads out of that folder is let through.
/// @throws Error(not_found, io, corrupt)
[[nodiscard]] std::map<std::string, std::string> read_shard_index(const std::filesystem::path& path);

}  // namespace qcqa
