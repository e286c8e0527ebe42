#pragma once

#include <filesystem>

namespace qcqa {

enum class FolderLacks { config, weights };

/// Refuses a folder that is no model: says what it holds instead (an adapter, another format, shards without an index,
/// a model one folder below, ...) and what to do about that.
/// @throws Error(not_found, unsupported)
[[noreturn]] void refuse_folder(const std::filesystem::path& folder, FolderLacks lacks);

}  // namespace qcqa
