#include "qcqa/support/device.hpp"

#include <gtest/gtest.h>

#include "support/expect_error.hpp"

namespace qcqa {
namespace {

using testing::expect_error;

TEST(Device, AutoIsAlwaysSomething) { EXPECT_FALSE(parse_device("auto").name().empty()); }
TEST(Device, CpuIsTheDefault) { EXPECT_EQ(parse_device("cpu"), Device{}); }
TEST(Device, MissingGpuSaysHowManyThereAre) {
  expect_error(ErrorKind::unsupported, "usable GPUs", [] { (void)parse_device("cuda:4000"); });
}

TEST(Device, NonsenseIsRefused) {
  for (const char* text : {"", "gpu", "cuda:", "cuda:x", "cuda:1x", "cuda-1", "cuda:-1"}) {
    expect_error(ErrorKind::invalid_argument, "must be auto, cpu, cuda or cuda:N", [&] { (void)parse_device(text); });
  }
}

}  // namespace
}  // namespace qcqa
