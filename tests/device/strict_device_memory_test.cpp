// A device whose memory runs out: one line and the exit code of the system, whatever was being computed.
#include <gtest/gtest.h>

#include <cstdlib>

#include "cli/run_qcqa.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

class StrictDeviceMemory : public ::testing::TestWithParam<std::vector<std::string>> {
 protected:
  static void SetUpTestSuite() { ::setenv("QCQA_STRICT_DEVICE_BYTES", "1000", 1); }
  static void TearDownTestSuite() { ::unsetenv("QCQA_STRICT_DEVICE_BYTES"); }
};

TEST_P(StrictDeviceMemory, RunningOutOfItIsOneLine) {
  const TemporaryFolder folder;
  std::vector<std::string> arguments = GetParam();
  arguments.insert(arguments.end(), {"--device", "cuda", "-q"});
  if (arguments[0] != "evaluate") arguments.insert(arguments.end(), {"-o", (folder / "out").string()});
  expect_failure(arguments, 3,
                 "LibTorch: the device must have memory for the computation; found CUDA out of memory. Tried to "
                 "allocate ");
}

const std::string kModel = QCQA_EXAMPLE_MODEL;
const std::string kText = kModel + "/sample.jsonl";
INSTANTIATE_TEST_SUITE_P(
    Commands, StrictDeviceMemory,
    ::testing::Values(std::vector<std::string>{"evaluate", kModel, "--text", kText},
                      std::vector<std::string>{"evaluate", kModel, "--sample", "Once", "--sample-tokens", "4"},
                      std::vector<std::string>{"search", kModel},
                      std::vector<std::string>{"search", kModel, "--fitness", "subspace", "--calibrate", kText},
                      std::vector<std::string>{"search", kModel, "--fitness", "aligned", "--calibrate", "self"},
                      std::vector<std::string>{"convert", kModel, "--groups", "2", "--merge", "subspace", "--calibrate",
                                               kText}));

}  // namespace
}  // namespace qcqa
