#pragma once

#include <CLI/CLI.hpp>

#include <functional>

namespace qcqa::cli {

/// Exit codes, as the help of every command lists them.
enum ExitCode : int {
  kOk = 0,
  kLimitMissed = 1,
  kUsageOrInput = 2,
  kIo = 3,
  kBug = 4,
  kInterrupted = 130,
};

/// Adds a command to `app`; its callback stores what to do in `action`, which main runs after parsing.
using Action = std::function<int()>;
void add_inspect(CLI::App& app, Action& action);
void add_search(CLI::App& app, Action& action);
void add_convert(CLI::App& app, Action& action);
void add_distill(CLI::App& app, Action& action);
void add_evaluate(CLI::App& app, Action& action);
void add_run(CLI::App& app, Action& action);
void add_report(CLI::App& app, Action& action);

}  // namespace qcqa::cli
