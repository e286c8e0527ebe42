// The program's commands on a GPU against the same on the CPU; on machines without one, on that of tests/device.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <fstream>

#include "cli/run_qcqa.hpp"
#include "support/gpu.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

nlohmann::json on_device(const std::string& device, std::vector<std::string> arguments) {
  const TemporaryFolder folder;
  const std::string output = folder / "result.json";
  arguments.insert(arguments.end(), {"--device", device, arguments[0] == "search" ? "-o" : "--json", output, "-q"});
  const CommandResult result = run_qcqa(arguments);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return nlohmann::json::parse(std::ifstream(output), nullptr, false);
}

double perplexity(const std::string& device, const std::string& model, const std::vector<std::string>& more = {}) {
  std::vector<std::string> command = {"evaluate", model, "--text", kExampleText, "--max-documents", "8"};
  command.insert(command.end(), more.begin(), more.end());
  return on_device(device, command)["perplexity"].get<double>();
}

class CommandsOnCuda : public ::testing::Test {
 protected:
  void SetUp() override {
    if (gpu_count() == 0) GTEST_SKIP() << "no GPU that LibTorch can use";
  }
};

TEST_F(CommandsOnCuda, EvaluateAgreesWithTheCpu) {
  const double on_cpu = perplexity("cpu", kExampleModel);
  EXPECT_NEAR(perplexity("cuda", kExampleModel), on_cpu, 1e-4 * on_cpu);
  EXPECT_NEAR(perplexity("cuda", kExampleModel, {"--compute", "bf16"}), on_cpu, 2e-2 * on_cpu);
  const auto reference = [](const std::string& device) {
    return on_device(device, {"evaluate", kExampleModel, "--text", kExampleText, "--max-documents", "5", "--reference",
                              kExampleModel})["reference"]["kl_mean"];
  };
  EXPECT_LT(reference("cuda"), 1e-6);
}

TEST_F(CommandsOnCuda, SearchAgreesWithTheCpu) {
  for (const std::vector<std::string>& fitness : {std::vector<std::string>{"wse"},
                                                  {"subspace", "--calibrate", kExampleText},
                                                  {"measured", "--calibrate", kExampleText}}) {
    std::vector<std::string> command = {"search", kExampleModel, "--calibration-tokens", "1024", "--fitness"};
    command.insert(command.end(), fitness.begin(), fitness.end());
    const auto on_cpu = on_device("cpu", command);
    const auto there = on_device("cuda", command);
    for (std::size_t layer = 0; layer < 4; ++layer) {
      const auto& expected = on_cpu["layers"][layer]["groupings"];
      const auto& groupings = there["layers"][layer]["groupings"];
      ASSERT_EQ(groupings.size(), expected.size()) << fitness[0];
      for (std::size_t i = 0; i < expected.size(); ++i) {
        const double cost = expected[i]["cost"];
        EXPECT_NEAR(groupings[i]["cost"].get<double>(), cost, 1e-4 * cost + 1e-6)
            << fitness[0] << ' ' << layer << ' ' << i;
      }
    }
  }
}

TEST_F(CommandsOnCuda, ConvertAgreesWithTheCpu) {
  const TemporaryFolder folder;
  const auto converted = [&](const std::string& device, const std::string& merge) {
    const std::string output = folder / (merge + "-" + device);
    const CommandResult result = run_qcqa({"convert",
                                           kExampleModel,
                                           "-o",
                                           output,
                                           "--groups",
                                           "2",
                                           "--merge",
                                           merge,
                                           "--calibrate",
                                           "self",
                                           "--calibrate",
                                           kExampleText,
                                           "--calibration-tokens",
                                           "2048",
                                           "--reconstruct-steps",
                                           "20",
                                           "--distill-steps",
                                           "10",
                                           "--device",
                                           device,
                                           "-q"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return perplexity("cpu", output);
  };
  for (const std::string merge : {"subspace", "reconstruct"}) {
    const double on_cpu = converted("cpu", merge);
    EXPECT_NEAR(converted("cuda", merge), on_cpu, 0.03 * on_cpu) << merge;
  }
}

}  // namespace
}  // namespace qcqa
