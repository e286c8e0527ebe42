#pragma once

#include <string>
#include <vector>

namespace qcqa::testing {

/// The model that comes with qcqa, and a text for it.
extern const std::string kExampleModel, kExampleText;

struct CommandResult {
  int exit_code = 0;
  std::string out, err;
};

/// Runs the real binary, or that of the environment variable QCQA_BINARY.
/// @param device  takes standard output, in the place of CommandResult::out
CommandResult run_qcqa(const std::vector<std::string>& arguments, const char* device = nullptr);

/// The same, with Ctrl-C (SIGINT) a moment after the program announced what it is about to do.
CommandResult run_qcqa_and_interrupt(const std::vector<std::string>& arguments);

/// The same, with this signal so many milliseconds after its start. @returns -signal as the exit code where that ended
/// it
CommandResult run_qcqa_and_signal(const std::vector<std::string>& arguments, int signal, int milliseconds);

/// Expects this exit code and exactly one line on stderr that starts with "qcqa: error: " and contains `part`.
void expect_failure(const std::vector<std::string>& arguments, int exit_code, const std::string& part);

}  // namespace qcqa::testing
