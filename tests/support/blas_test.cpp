#include "support/blas.hpp"

#include <gtest/gtest.h>

namespace qcqa {
namespace {

using Kernels = std::vector<std::string>;

TEST(Blas, KernelsWithoutAvxGiveWayToThoseOfTheInstructions) {
  EXPECT_EQ(faster_blas_kernels("Prescott", {.avx2_and_fma = true, .avx512 = true}), (Kernels{"SkylakeX", "Haswell"}));
  EXPECT_EQ(faster_blas_kernels("Barcelona", {.avx2_and_fma = true}), (Kernels{"Haswell"}));
  EXPECT_EQ(faster_blas_kernels("Prescott", {}), Kernels{});
}

TEST(Blas, WhereTheProcessorIsKnownTheChoiceStands) {
  for (const char* known : {"Haswell", "Zen", "SkylakeX", "Cooperlake", "Sandybridge", "neoversen1", ""}) {
    EXPECT_EQ(faster_blas_kernels(known, {.avx2_and_fma = true, .avx512 = true}), Kernels{}) << known;
  }
}

TEST(Blas, MultipliesRightHere) { EXPECT_TRUE(multiplies_right()) << blas_name(); }

TEST(Blas, RowsThatDependOnOthersAreSeen) {
  for (const char* kernel : {"Haswell", "Zen"}) {
    if (blas_name() == std::string("OpenBLAS 0.3.21, kernel ") + kernel) {
      EXPECT_FALSE(rows_are_independent());
    }
  }
  for (const char* kernel : {"Sandybridge", "Nehalem"}) {
    if (blas_name() == std::string("OpenBLAS 0.3.21, kernel ") + kernel) {
      EXPECT_TRUE(rows_are_independent());
    }
  }
}

}  // namespace
}  // namespace qcqa
