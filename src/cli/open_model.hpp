#pragma once

#include <filesystem>

#include "cli/console.hpp"
#include "qcqa/model/model.hpp"

namespace qcqa::cli {

/// Model::open for every command: what was decided on the way is said.
[[nodiscard]] Model open_model(const std::filesystem::path& path, Console& console);

}  // namespace qcqa::cli
