#include "cli/blas_choice.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "qcqa/support/error.hpp"
#include "support/blas.hpp"

namespace qcqa::cli {
namespace {

constexpr const char* kKernel = "OPENBLAS_CORETYPE";
constexpr const char* kChosen = "QCQA_BLAS_KERNEL";  // what was chosen here, for the program that is started again
constexpr const char* kNone = "none";                // every choice multiplied wrong: what OpenBLAS chose remains

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

/// Returns only if that is not possible.
void start_again_with(const std::string& kernel, char** argv) {
  ::setenv(kChosen, kernel.c_str(), 1);
  if (kernel == kNone) {
    ::unsetenv(kKernel);
  } else {
    ::setenv(kKernel, kernel.c_str(), 1);
  }
  ::execv("/proc/self/exe", argv);
}

}  // namespace

void choose_blas_kernel(char** argv) {
  const std::string asked = variable(kKernel), chosen = variable(kChosen);
  const bool is_users = !asked.empty() && asked != chosen;
  // The kernels to try, with what OpenBLAS chose by itself at the end.
  std::vector<std::string> kernels =
      faster_blas_kernels(asked.empty() ? blas_kernel() : "Prescott", VectorInstructions::of_this_processor());
  kernels.emplace_back(kNone);
  if (asked.empty() && chosen != kNone && kernels.front() != kNone) {
    start_again_with(kernels.front(), argv);
    ::unsetenv(kKernel);
    ::unsetenv(kChosen);
  }
  if (multiplies_right()) return;
  const auto at = std::ranges::find(kernels, chosen);
  if (!is_users && !asked.empty() && at != kernels.end()) start_again_with(*(at + 1), argv);
  throw Error(
      ErrorKind::unsupported, blas_name(), "multiplies matrices wrong on this processor", {},
      is_users ? "Unset OPENBLAS_CORETYPE." : "Set OPENBLAS_CORETYPE to another kernel, or install another BLAS.");
}

}  // namespace qcqa::cli
