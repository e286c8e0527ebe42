#include "qcqa/checkpoint/tensor_view.hpp"

#include <cstring>
#include <numeric>

#include <gtest/gtest.h>

#include "qcqa/support/error.hpp"
#include "support/expect_error.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// Element i is i / 4, in float32.
class Quarters final : public DerivedValues {
 public:
  void make(std::uint64_t first, std::span<std::byte> out) const override {
    for (std::size_t i = 0; i < out.size() / sizeof(float); ++i) {
      const float value = static_cast<float>(first + i) / 4;
      std::memcpy(out.data() + i * sizeof value, &value, sizeof value);
    }
  }
};

TensorView quarters(std::int64_t rows, std::int64_t columns) {
  return {.name = "w",
          .dtype = Dtype::f32,
          .shape = {rows, columns},
          .stored = {},
          .file = {},
          .derived = std::make_shared<Quarters>(),
          .narrow = Dtype::bf16};
}

TEST(TensorView, DerivedRowsAreMadeWhereTheyAreRead) {
  const TensorView tensor = quarters(3000, 5);
  const TensorSlice rows = tensor.rows(2, 1500);
  std::vector<float> floats(rows.size());
  rows.read(floats);
  std::vector<double> doubles(rows.size());
  rows.read(doubles);
  std::vector<std::byte> buffer;
  const auto bytes = rows.bytes(buffer);
  ASSERT_EQ(bytes.size(), 1500U * 5U * 4U);
  for (std::size_t i = 0; i < floats.size(); ++i) {
    ASSERT_EQ(floats[i], static_cast<float>(10 + i) / 4);
    ASSERT_EQ(doubles[i], floats[i]);
  }
  EXPECT_EQ(std::memcmp(bytes.data(), floats.data(), bytes.size()), 0);
  EXPECT_EQ(tensor.written_dtype(), Dtype::bf16);
}

TEST(TensorView, StoredRowsAreNotCopied) {
  std::vector<float> values(12);
  std::iota(values.begin(), values.end(), 0.0F);
  const TensorView tensor{
      .name = "w", .dtype = Dtype::f32, .shape = {4, 3}, .stored = std::as_bytes(std::span(values)), .file = {}};
  std::vector<std::byte> buffer;
  EXPECT_EQ(tensor.rows(1, 2).bytes(buffer).data(), tensor.stored.data() + 3 * 4);
  EXPECT_TRUE(buffer.empty());
  std::vector<double> row(3);
  tensor.rows(2, 1).read(row);
  EXPECT_EQ(row, (std::vector<double>{6, 7, 8}));
  EXPECT_EQ(tensor.written_dtype(), Dtype::f32);
}

TEST(TensorView, SlicesStayWithinTheirTensor) {
  const TensorView tensor = quarters(4, 3);
  expect_error(ErrorKind::internal, "within its tensor", [&] { (void)tensor.rows(3, 2); });
  expect_error(ErrorKind::internal, "within its tensor", [&] { (void)tensor.all().part(11, 2); });
}

}  // namespace
}  // namespace qcqa
