#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/run_qcqa.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;
namespace fs = std::filesystem;

std::string bytes_in(const fs::path& file) {
  std::ostringstream content;
  content << std::ifstream(file).rdbuf();
  return content.str();
}

/// Every step of a run, small. The output is always OUT in the working folder, so that model cards agree.
std::vector<std::string> small_run(const std::string& output) {
  const std::string model = QCQA_EXAMPLE_MODEL;
  return {"run",
          model,
          "--kv",
          "0.5",
          "-o",
          output,
          "--merge",
          "reconstruct",
          "--calibrate",
          "self",
          "--calibration-tokens",
          "1024",
          "--reconstruct-steps",
          "4",
          "--distill-steps",
          "8",
          "--text",
          model + "/sample.jsonl",
          "--max-tokens",
          "200"};
}

TEST(ResumeCommand, KilledAtAnyTimeItComesToTheSameFiles) {
  const TemporaryFolder folder;
  const std::string output = folder / "out";
  const auto begin = std::chrono::steady_clock::now();
  const CommandResult whole = run_qcqa(small_run(output));
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  const auto all = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  fs::rename(output, folder / "whole");
  static constexpr int kPoints = 3;
  for (const int signal : {SIGKILL, SIGTERM}) {
    for (int point = 1; point <= kPoints; ++point) {
      SCOPED_TRACE("signal " + std::to_string(signal) + ", point " + std::to_string(point));
      (void)run_qcqa_and_signal(small_run(output), signal, static_cast<int>(all.count()) * point / (kPoints + 1));
      std::vector<std::string> resumed = small_run(output);
      if (!fs::exists(output) || fs::exists(output + ".state")) {
        resumed.emplace_back("--resume");
        const CommandResult result = run_qcqa(resumed);
        ASSERT_EQ(result.exit_code, 0) << result.err;
      }
      for (const char* name : {"model.safetensors", "config.json", "README.md", "tokenizer.json"}) {
        EXPECT_TRUE(bytes_in(fs::path(output) / name) == bytes_in(folder / "whole" / name)) << name;
      }
      fs::remove_all(output);
      for (const auto& entry : fs::directory_iterator(folder.path())) {
        EXPECT_EQ(entry.path().filename(), "whole") << "left behind";
      }
    }
  }
}

}  // namespace
}  // namespace qcqa
