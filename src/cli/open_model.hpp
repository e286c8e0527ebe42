#pragma once

#include <filesystem>

#include "cli/console.hpp"
#include "qcqa/model/model.hpp"

namespace qcqa::cli {

/// Model::open for every command: what was decided on the way is said.
[[nodiscard]] Model open_model(const std::filesystem::path& path, Console& console);

/// The input is never changed: @throws Error(invalid_argument) where `output` is one of its files.
void require_not_of_input(const std::filesystem::path& input, const std::filesystem::path& output);

}  // namespace qcqa::cli
