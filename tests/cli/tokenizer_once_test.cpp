// How often a run reads its tokenizer, counted by the system.
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <filesystem>

#include "cli/run_qcqa.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

namespace fs = std::filesystem;
using namespace testing;

/// Counts how often a file is opened, by any process.
class OpenCounter {
 public:
  explicit OpenCounter(const fs::path& file) : queue_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
    // Closing too, for equal events that follow one another become one.
    ::inotify_add_watch(queue_, file.c_str(), IN_OPEN | IN_CLOSE);
  }
  OpenCounter(const OpenCounter&) = delete;
  OpenCounter& operator=(const OpenCounter&) = delete;
  ~OpenCounter() { ::close(queue_); }

  [[nodiscard]] int count() {
    std::array<char, 4096> buffer;
    for (ssize_t got = 0; (got = ::read(queue_, buffer.data(), buffer.size())) > 0;) {
      for (ssize_t at = 0; at < got;) {
        inotify_event event;
        std::memcpy(&event, buffer.data() + at, sizeof event);
        if ((event.mask & IN_OPEN) != 0) ++opened_;
        at += static_cast<ssize_t>(sizeof event + event.len);
      }
    }
    return opened_;
  }

 private:
  int queue_;
  int opened_ = 0;
};

class TokenizerOnce : public ::testing::TestWithParam<std::vector<std::string>> {};

TEST_P(TokenizerOnce, IsReadOnceInARun) {
  const TemporaryFolder folder;
  const fs::path model = folder / "model";
  fs::copy(QCQA_EXAMPLE_MODEL, model);
  for (const fs::directory_entry& entry : fs::directory_iterator(model)) {
    fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - std::chrono::hours(1));
  }
  OpenCounter counter(model / "tokenizer.json");
  std::vector<std::string> arguments = GetParam();
  const std::string text = (model / "sample.jsonl").string();
  for (std::string& argument : arguments) argument = argument == "TEXT" ? text : argument;
  arguments.insert(arguments.begin() + 1, model.string());
  arguments.insert(arguments.end(), {"-o", (folder / "out").string(), "-q"});
  const CommandResult result = run_qcqa(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(counter.count(), 1);
}

INSTANTIATE_TEST_SUITE_P(
    Commands, TokenizerOnce,
    ::testing::Values(std::vector<std::string>{"convert", "--groups", "2", "--format", "gguf"},
                      std::vector<std::string>{"convert", "--groups", "2", "--target", "llama.cpp", "--merge",
                                               "subspace", "--calibrate", "self", "--calibrate", "TEXT",
                                               "--calibration-tokens", "512"},
                      std::vector<std::string>{"run", "--kv", "0.5", "--format", "gguf", "--merge", "subspace",
                                               "--calibrate", "TEXT", "--calibrate", "self", "--calibration-tokens",
                                               "512", "--text", "TEXT", "--max-documents", "2"}));

}  // namespace
}  // namespace qcqa
