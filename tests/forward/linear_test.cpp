#include "forward/linear.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "support/expect_error.hpp"
#include "support/safetensors_bytes.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// Matrices of float32 in a file: a (2, 3) counts up from 1, b (1, 3) from 7; biases of a alone, 10 and 20.
class LinearTest : public ::testing::Test {
 protected:
  static Checkpoint make(const std::filesystem::path& file) {
    const std::vector<float> values = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20};
    std::ofstream(file, std::ios::binary)
        << safetensors_bytes(R"({"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
                             R"("b":{"dtype":"F32","shape":[1,3],"data_offsets":[24,36]},)"
                             R"("a.bias":{"dtype":"F32","shape":[2],"data_offsets":[36,44]},)"
                             R"("ids":{"dtype":"I32","shape":[2,3],"data_offsets":[44,68]}})",
                             std::string(reinterpret_cast<const char*>(values.data()), 44) + std::string(24, '\0'));
    return Checkpoint::open(file);
  }

  [[nodiscard]] const TensorView& tensor(const char* name) const { return checkpoint_.at(name); }

  TemporaryFolder folder_;
  Checkpoint checkpoint_ = make(folder_ / "model.safetensors");
};

TEST_F(LinearTest, ReadsPartsInTheOrderTheyWereAdded) {
  LinearSource source;
  source.add(tensor("b"), nullptr);
  source.add(tensor("a"), nullptr);
  const Linear linear = read_linear(source, Runtime{});
  EXPECT_TRUE(
      at::equal(linear.weight, at::tensor({7.0F, 8.0F, 9.0F, 1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}).view({3, 3})));
  EXPECT_FALSE(linear.bias.defined());
}

TEST_F(LinearTest, PartsWithoutABiasHaveZeros) {
  LinearSource source;
  source.add(tensor("b"), nullptr);
  source.add(tensor("a"), &tensor("a.bias"));
  EXPECT_TRUE(at::equal(read_linear(source, Runtime{}).bias, at::tensor({0.0F, 10.0F, 20.0F})));
}

TEST_F(LinearTest, ReadsSomeRowsOfATensor) {
  LinearSource source{.parts = {{tensor("a").rows(1, 1), tensor("a.bias").rows(1, 1), 1}}, .inputs = 3};
  const Linear linear = read_linear(source, Runtime{});
  EXPECT_TRUE(at::equal(linear.weight, at::tensor({4.0F, 5.0F, 6.0F}).view({1, 3})));
  EXPECT_TRUE(at::equal(linear.bias, at::tensor({20.0F})));
}

TEST_F(LinearTest, MultipliesAndAdds) {
  LinearSource source;
  source.add(tensor("a"), &tensor("a.bias"));
  const Linear linear = read_linear(source, Runtime{});
  const at::Tensor x = at::tensor({1.0F, 0.0F, -1.0F, 0.5F, 1.0F, 2.0F}).view({2, 3});
  EXPECT_TRUE(at::equal(linear(x), at::tensor({8.0F, 18.0F, 18.5F, 39.0F}).view({2, 2})));
}

TEST_F(LinearTest, OneRowGivesWhatItGivesAmongOthers) {
  LinearSource source;
  source.add(tensor("a"), nullptr);
  const Linear linear = read_linear(source, Runtime{});
  EXPECT_TRUE(at::equal(linear(at::tensor({1.0F, 0.0F, -1.0F}).view({1, 3})), at::tensor({-2.0F, -2.0F}).view({1, 2})));
}

TEST_F(LinearTest, RefusesWhatDoesNotFit) {
  LinearSource source;
  expect_error(ErrorKind::corrupt, "a.bias: must be a matrix", [&] { source.add(tensor("a.bias"), nullptr); });
  expect_error(ErrorKind::corrupt, "b: must be a matrix", [&] { source.add(tensor("b"), &tensor("a.bias")); });
  expect_error(ErrorKind::unsupported, "ids: weights must be F16, BF16, F32 or F64; found I32",
               [&] { source.add(tensor("ids"), nullptr); });
}

TEST_F(LinearTest, WidensATensorOfAnyShape) {
  EXPECT_TRUE(at::equal(widened(tensor("a.bias")), at::tensor({10.0F, 20.0F})));
  EXPECT_EQ(widened(tensor("a")).sizes(), at::IntArrayRef({2, 3}));
}

}  // namespace
}  // namespace qcqa
