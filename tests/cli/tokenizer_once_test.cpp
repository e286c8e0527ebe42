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
  for (std::string& argument : arguments) {
    if (argument == "MODEL") argument = model.string();
    if (argument == "TEXT") argument = (model / "sample.jsonl").string();
    if (argument == "OUT") argument = (folder / "out").string();
  }
  const CommandResult result = run_qcqa(arguments);
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(counter.count(), 1);
}

using Arguments = std::vector<std::string>;
INSTANTIATE_TEST_SUITE_P(
    Commands, TokenizerOnce,
    ::testing::Values(Arguments{"convert", "MODEL", "-o", "OUT", "--groups", "2", "--format", "gguf"},
                      Arguments{"convert", "MODEL", "-o", "OUT", "--groups", "2", "--target", "llama.cpp", "--merge",
                                "subspace", "--calibrate", "self", "--calibrate", "TEXT", "--calibration-tokens",
                                "512"},
                      Arguments{"run", "MODEL", "-o", "OUT", "--kv", "0.5", "--format", "gguf", "--merge", "subspace",
                                "--calibrate", "TEXT", "--calibrate", "self", "--calibration-tokens", "512"},
                      Arguments{"evaluate", "MODEL", "--text", "TEXT", "--max-documents", "2", "--sample", "Once",
                                "--sample-tokens", "4"}));

}  // namespace
}  // namespace qcqa
