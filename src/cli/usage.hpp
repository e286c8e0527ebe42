#pragma once

#include <CLI/CLI.hpp>

#include <string>

namespace qcqa::cli {

/// One line for a mistake on the command line, with the nearest option or command as a hint.
[[nodiscard]] std::string usage_error(const CLI::App& app, const CLI::ParseError& error);

}  // namespace qcqa::cli
