// The device of strict_device.cpp itself: that it refuses what a GPU refuses, and otherwise computes.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>

#include "support/gpu.hpp"

namespace qcqa {
namespace {

// Tests of commands run the program that has this device.
[[maybe_unused]] const int kSet = ::setenv("QCQA_BINARY", QCQA_ON_STRICT_DEVICE, 0);

at::Tensor there(const at::Tensor& tensor) { return tensor.to(gpu_device(0)); }

TEST(StrictDevice, ComputesAsTheCpuDoes) {
  const at::Tensor a = at::arange(12, at::kFloat).view({3, 4});
  const at::Tensor b = at::arange(8, at::kFloat).view({4, 2});
  const at::Tensor product = at::mm(there(a), there(b)).softmax(-1);
  EXPECT_EQ(product.device(), gpu_device(0));
  EXPECT_TRUE(at::equal(product.to(at::kCPU), at::mm(a, b).softmax(-1)));
}

TEST(StrictDevice, ViewsShareMemory) {
  const at::Tensor whole = there(at::zeros({4, 4}));
  whole.narrow(0, 1, 2).t().select(0, 3).fill_(5);
  EXPECT_EQ(whole.to(at::kCPU).sum().item<float>(), 10);
  EXPECT_EQ(whole[2][3].item<float>(), 5);
}

TEST(StrictDevice, OutputsGrow) {
  at::Tensor out = at::empty({0}, at::TensorOptions().device(gpu_device(0)));
  at::add_out(out, there(at::ones({3, 2})), there(at::ones({3, 2})));
  EXPECT_TRUE(at::equal(out.to(at::kCPU), at::full({3, 2}, 2.0F)));
}

TEST(StrictDevice, GradientsStayThere) {
  const at::Tensor weight = there(at::ones({3})).requires_grad_();
  const auto gradients = torch::autograd::grad({(weight * there(at::arange(3, at::kFloat))).square().sum()}, {weight});
  EXPECT_EQ(gradients[0].device(), gpu_device(0));
  EXPECT_TRUE(at::equal(gradients[0].to(at::kCPU), 2 * at::arange(3, at::kFloat).square()));
}

TEST(StrictDevice, RefusesTensorsOfTheCpu) {
  EXPECT_THROW(at::mm(there(at::ones({2, 2})), at::ones({2, 2})), c10::Error);
  EXPECT_THROW(there(at::ones({2, 2})).index_select(0, at::zeros({1}, at::kLong)), c10::Error);
  EXPECT_NO_THROW(there(at::ones({2, 2})) * at::ones({}));  // as a GPU takes a number
}

TEST(StrictDeviceDeathTest, ItsMemoryCannotBeReadFromTheHost) {
  const at::Tensor tensor = there(at::ones({2}));
  EXPECT_DEATH(std::printf("%f", static_cast<double>(*tensor.data_ptr<float>())), "");
}

}  // namespace
}  // namespace qcqa
