#include "cli/run_qcqa.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>
#include <thread>

#include "support/temporary_folder.hpp"

namespace qcqa::testing {
namespace {

std::string content_of(const std::filesystem::path& file) {
  std::ostringstream content;
  content << std::ifstream(file).rdbuf();
  return content.str();
}

/// @param disturb  called with the process and the file of its stderr
/// @param device  takes standard output, if given
CommandResult run(const std::vector<std::string>& arguments,
                  const std::function<void(pid_t, const std::string&)>& disturb = {}, const char* device = nullptr) {
  const TemporaryFolder folder;
  const std::string out = folder / "out";
  const std::string err = folder / "err";
  std::vector<char*> argv;
  const char* other = std::getenv("QCQA_BINARY");
  std::string program = other != nullptr ? other : QCQA_BINARY;
  std::vector<std::string> copies = arguments;
  argv.push_back(program.data());
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    const int out_file = open(device != nullptr ? device : out.c_str(), O_CREAT | O_WRONLY, 0600);
    const int err_file = open(err.c_str(), O_CREAT | O_WRONLY, 0600);
    dup2(out_file, STDOUT_FILENO);
    dup2(err_file, STDERR_FILENO);
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  if (disturb) disturb(child, err);
  int status = 0;
  waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), content_of(out), content_of(err)};
}

}  // namespace

const std::string kExampleModel = QCQA_EXAMPLE_MODEL;
const std::string kExampleText = kExampleModel + "/sample.jsonl";

CommandResult run_qcqa(const std::vector<std::string>& arguments, const char* device) {
  return run(arguments, {}, device);
}

CommandResult run_qcqa_and_interrupt(const std::vector<std::string>& arguments) {
  return run(arguments, [](pid_t child, const std::string& err) {
    using namespace std::chrono_literals;
    while (content_of(err).find('\n') == std::string::npos && kill(child, 0) == 0) std::this_thread::sleep_for(10ms);
    std::this_thread::sleep_for(400ms);
    kill(child, SIGINT);
  });
}

CommandResult run_qcqa_and_signal(const std::vector<std::string>& arguments, int signal, int milliseconds) {
  return run(arguments, [=](pid_t child, const std::string&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    kill(child, signal);
  });
}

void expect_failure(const std::vector<std::string>& arguments, int exit_code, const std::string& part) {
  const CommandResult result = run_qcqa(arguments);
  EXPECT_EQ(result.exit_code, exit_code) << result.err;
  std::string error = result.err;
  if (error.starts_with("qcqa 0") || error.starts_with("qcqa 1")) error.erase(0, error.find('\n') + 1);  // the preamble
  EXPECT_TRUE(error.starts_with("qcqa: error: ")) << result.err;
  EXPECT_EQ(std::ranges::count(error, '\n'), 1) << result.err;
  EXPECT_NE(error.find(part), std::string::npos) << "message: " << result.err << "\nwanted:  " << part;
  EXPECT_EQ(result.out, "");
}

}  // namespace qcqa::testing
