// What people see: help, version, and the tables of inspect and search, to the letter.
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <sstream>

#include "cli/run_qcqa.hpp"
#include "qcqa/support/version.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

class ShownText : public ::testing::Test {
 protected:
  void SetUp() override { write_pico_model(model_, {.query_heads = 6, .kv_heads = 6, .head_dim = 2}); }

  [[nodiscard]] std::string at(std::string_view name) const { return folder_ / name; }

  TemporaryFolder folder_;
  std::string model_ = folder_ / "model";
};

/// As the help lists them.
std::vector<std::string> commands() {
  const std::string help = run_qcqa({"--help"}).out;
  std::vector<std::string> names;
  std::istringstream lines(help.substr(help.find("Subcommands:")));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("  ") && line[2] != ' ') names.push_back(line.substr(2, line.find(' ', 2) - 2));
  }
  return names;
}

TEST_F(ShownText, HelpOfEveryCommandGoesToStdout) {
  const auto names = commands();
  EXPECT_EQ(names, (std::vector<std::string>{"run", "inspect", "search", "convert", "distill", "evaluate", "report"}));
  for (const std::string& name : names) {
    const auto result = run_qcqa({name, "--help"});
    EXPECT_EQ(result.exit_code, 0) << name;
    EXPECT_NE(result.out.find("Exit codes:"), std::string::npos) << name;
    EXPECT_NE(result.out.find("Usage: qcqa " + name), std::string::npos) << result.out;
    EXPECT_EQ(result.err, "") << name;
  }
}

TEST_F(ShownText, HelpOfTheProgramFitsALinePerCommand) {
  static constexpr std::size_t kLongest = 100;
  const std::string help = run_qcqa({"--help"}).out;
  EXPECT_EQ(help.find("Needs"), std::string::npos) << help;
  std::istringstream lines(help.substr(help.find("Subcommands:")));
  for (std::string line; std::getline(lines, line) && !line.starts_with("Exit codes");)
    EXPECT_LE(line.size(), kLongest) << line;
}

TEST_F(ShownText, EveryCommandRefusesWhatItDoesNotKnow) {
  for (const std::string& name : commands()) {
    expect_failure({name, model_, "--frobnicate"}, 2, "--frobnicate");
    expect_failure({name}, 2, "required");
  }
}

TEST_F(ShownText, EveryCommandThatReadsAModelNamesTheMissingOne) {
  for (const std::string& name : commands()) {
    if (name == "report") continue;
    std::vector<std::string> command = {name, at("nowhere")};
    if (name != "inspect" && name != "evaluate") command.insert(command.end(), {"-o", at("out")});
    if (name == "convert") command.insert(command.end(), {"--groups", "2"});
    if (name == "distill") command.insert(command.end(), {"--reference", model_});
    if (name == "evaluate") command.insert(command.end(), {"--token-ids", at("ids")});
    expect_failure(command, 2, at("nowhere"));
  }
}

TEST_F(ShownText, VersionNamesTheCommit) {
  const auto result = run_qcqa({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "qcqa " + std::string(version()) + " (" + std::string(commit()) + ")\n");
  const bool in_git = std::filesystem::exists(std::filesystem::path(QCQA_EXAMPLE_MODEL) / "../../.git");
  const std::regex known("[0-9a-f]{12}(-dirty)?");
  EXPECT_EQ(std::regex_match(std::string(commit()), known), in_git) << commit();
}

TEST_F(ShownText, VersionSaysWhatRunsBelow) {
  const auto result = run_qcqa({"--version", "-v"});
  EXPECT_EQ(result.exit_code, 0);
  const std::regex lines(
      "qcqa .*\nLibTorch  [0-9.]+.*\nBLAS      .+\nthreads   [0-9]+(; last digits of results depend on them)?\nGPUs    "
      "  [0-9]+\n");
  EXPECT_TRUE(std::regex_match(result.out, lines)) << result.out;
  expect_failure({"-v", "inspect", model_}, 2, "--verbose: goes before a command with --version only");
}

TEST_F(ShownText, InspectShowsHeadsAndCacheToTheLetter) {
  const auto text = run_qcqa({"inspect", model_});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_EQ(text.out.substr(0, text.out.find("  fingerprint")), model_ + R"(
  architecture     llama
  parameters       0.001406 million
  weights          5.5 KiB in 1 file(s), attention in F32
  layers           2
  heads per layer  6 query, 6 key/value, of 2
  hidden size      12
  KV cache         192 B per token
                   768 KiB at 4k tokens
                   6 MiB at 32k tokens
                   24 MiB at 128k tokens
  can become       for transformers: --layout gqa (1, 2, 3 KV heads per layer); --layout remote-code (counts by layer); --layout shared-cache (counts by layer)
                   for vllm: --layout gqa (1, 2, 3 KV heads per layer); --layout nemotron-nas (counts by layer); --layout remote-code (counts by layer)
                   for llama.cpp: nothing
                   for mlx: --layout gqa (1, 2, 3 KV heads per layer); --layout openelm (counts by layer); --layout nemotron-nas (counts by layer)
                   to look at quality: --layout expanded with any grouping, which saves nothing
)");
  const auto with_memory = run_qcqa({"inspect", model_, "--memory", "12KiB"}).out;
  EXPECT_NE(with_memory.find("context          34 tokens in 12 KiB with the weights, with 6 KV heads per layer"),
            std::string::npos)
      << with_memory;
}

TEST_F(ShownText, SearchSummaryIsShownToTheLetter) {
  // As in tests/report/tables_test.cpp: 0 and 2 are near, and 1 and 3; layer 1 is three times as wide.
  const auto file = folder_.write("d.json", R"({"num_heads": 4, "head_dim": 16, "hidden_size": 64, "layers": {
    "0": {"k": {"dist": [[0, 10, 2, 10], [10, 0, 10, 4], [2, 10, 0, 10], [10, 4, 10, 0]]}},
    "1": {"k": {"dist": [[0, 30, 6, 30], [30, 0, 30, 12], [6, 30, 0, 30], [30, 12, 30, 0]]}}}})");
  const auto result = run_qcqa({"search", "--distances", file, "-o", at("r.json")});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out.substr(0, result.out.find("Wrote")),
            R"(Cost (distances) of the best plan found (8 KV heads before)
  KV cache  per token  contiguous (GQA)  equal groups  any groups
  50.0 %        256 B                40            12          12
  25.0 %        128 B                46            46          46
)");
}

}  // namespace
}  // namespace qcqa
