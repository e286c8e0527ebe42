#pragma once

#include <string>
#include <vector>

namespace qcqa::testing {

struct CommandResult {
  int exit_code = 0;
  std::string out, err;
};

/// Runs the real binary. `interrupt_after_seconds` > 0 sends SIGINT then.
CommandResult run_qcqa(const std::vector<std::string>& arguments, double interrupt_after_seconds = 0);

/// Expects this exit code and exactly one line on stderr that starts with "qcqa: error: " and contains `part`.
void expect_failure(const std::vector<std::string>& arguments, int exit_code, const std::string& part);

}  // namespace qcqa::testing
