#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <string>

#include "cli/run_qcqa.hpp"
#include "support/blas.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// Sets variables of the environment for as long as it lives.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& variables) {
    for (const auto& [name, value] : variables) {
      const char* before = std::getenv(name.c_str());
      before_[name] = before != nullptr ? std::optional<std::string>(before) : std::nullopt;
      setenv(name.c_str(), value.c_str(), 1);
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    for (const auto& [name, value] : before_) {
      if (value) {
        setenv(name.c_str(), value->c_str(), 1);
      } else {
        unsetenv(name.c_str());
      }
    }
  }

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

/// On an OpenBLAS that does not know the processor.
class UnknownProcessor : public ::testing::Test {
 protected:
  void SetUp() override {
    if (blas_kernel().empty()) GTEST_SKIP() << "LibTorch has another BLAS than OpenBLAS";
    kernels_ = faster_blas_kernels("Prescott", VectorInstructions::of_this_processor());
    if (kernels_.empty()) GTEST_SKIP() << "this processor has no AVX2";
    if (std::getenv("OPENBLAS_CORETYPE") != nullptr) GTEST_SKIP() << "OPENBLAS_CORETYPE is set";
  }

  static CommandResult run_with(std::map<std::string, std::string> variables) {
    variables["LD_PRELOAD"] = QCQA_OTHER_BLAS;
    const Environment environment(variables);
    return run_qcqa({"--version", "-v"});
  }

  static void expect_kernel(const std::string& kernel, const std::map<std::string, std::string>& variables) {
    const CommandResult result = run_with(variables);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_NE(result.out.find("kernel " + kernel + "\n"), std::string::npos) << result.out;
  }

  std::vector<std::string> kernels_;
};

TEST_F(UnknownProcessor, GetsTheKernelOfItsInstructions) { expect_kernel(kernels_.front(), {}); }

TEST_F(UnknownProcessor, KeepsWhatTheUserSet) {
  expect_kernel("Sandybridge", {{"OPENBLAS_CORETYPE", "Sandybridge"}});
  expect_kernel("Prescott", {{"OPENBLAS_CORETYPE", "Prescott"}});
}

TEST_F(UnknownProcessor, GetsNoKernelThatMultipliesWrong) {
  expect_kernel(kernels_.size() > 1 ? kernels_[1] : "Prescott", {{"QCQA_WRONG_KERNEL", kernels_.front()}});
}

TEST_F(UnknownProcessor, IsRefusedWhereAllMultiplyWrong) {
  const CommandResult result = run_with({{"QCQA_WRONG_KERNEL", "all"}});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("kernel Prescott: multiplies matrices wrong on this processor"), std::string::npos)
      << result.err;
}

TEST_F(UnknownProcessor, AWrongKernelOfTheUsersIsRefused) {
  const CommandResult result = run_with({{"QCQA_WRONG_KERNEL", "Haswell"}, {"OPENBLAS_CORETYPE", "Haswell"}});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("Unset OPENBLAS_CORETYPE."), std::string::npos) << result.err;
}

}  // namespace
}  // namespace qcqa
