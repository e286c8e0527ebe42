#include "checkpoint/finite.hpp"

#include <gtest/gtest.h>
#include <cmath>
#include <cstring>

#include "support/expect_error.hpp"

namespace qcqa {
namespace {

using testing::expect_error;

TensorView view_of(std::span<const std::byte> bytes, Dtype dtype, std::vector<std::int64_t> shape) {
  return {.name = "w", .dtype = dtype, .shape = std::move(shape), .stored = bytes, .file = "a.safetensors"};
}

TEST(Finite, NamesTheFirstThatIsNot) {
  std::vector<float> values(600'000);
  const TensorView view = view_of(std::as_bytes(std::span(values)), Dtype::f32, {1000, 600});
  EXPECT_NO_THROW(require_finite(view));
  values[599'999] = -HUGE_VALF;
  expect_error(ErrorKind::corrupt, "a.safetensors: w: weights must be finite; found minus infinity at [999, 599]",
               [&] { require_finite(view); });
}

TEST(Finite, ReadingRefusesToo) {
  std::vector<float> values = {0, 1, std::nanf(""), 3};
  const TensorView view = view_of(std::as_bytes(std::span(values)), Dtype::f32, {2, 2});
  std::vector<double> out(2);
  EXPECT_NO_THROW(view.rows(0, 1).read(out));
  expect_error(ErrorKind::corrupt, "found not a number at [1, 0]", [&] { view.rows(1, 1).read(out); });
}

TEST(Finite, ReadingTellsWhatFloat32CannotHold) {
  std::vector<double> values = {0, 1e300};
  const TensorView view = view_of(std::as_bytes(std::span(values)), Dtype::f64, {2});
  std::vector<double> wide(2);
  std::vector<float> narrow(2);
  EXPECT_NO_THROW(view.all().read(wide));
  expect_error(ErrorKind::unsupported, "weights must fit into float32; found 1e+300 at [1]",
               [&] { view.all().read(narrow); });
}

TEST(Finite, KnowsEightBitTypes) {
  const auto check = [](Dtype dtype, unsigned char element) {
    const std::vector<std::byte> bytes = {std::byte{0}, std::byte{element}};
    require_finite(view_of(bytes, dtype, {2}));
  };
  EXPECT_NO_THROW(check(Dtype::f8_e4m3, 0xfe));
  EXPECT_NO_THROW(check(Dtype::f8_e5m2, 0xfb));
  EXPECT_NO_THROW(check(Dtype::f8_e8m0, 0xfe));
  EXPECT_NO_THROW(check(Dtype::i8, 0xff));
  for (const auto& [dtype, element] :
       {std::pair(Dtype::f8_e4m3, 0xff), std::pair(Dtype::f8_e5m2, 0x7c), std::pair(Dtype::f8_e8m0, 0xff)}) {
    expect_error(ErrorKind::corrupt, "not a number at [1]", [&] { check(dtype, static_cast<unsigned char>(element)); });
  }
}

TEST(Finite, PlacesAreIndices) {
  EXPECT_EQ(element_place(std::vector<std::int64_t>{2, 3, 4}, 23), "[1, 2, 3]");
  EXPECT_EQ(element_place(std::vector<std::int64_t>{}, 0), "[]");
}

}  // namespace
}  // namespace qcqa
