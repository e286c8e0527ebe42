#include "checkpoint/gguf.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <optional>

#include "support/expect_error.hpp"
#include "support/safetensors_bytes.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

const GgufMetadata kMetadata = {{"general.architecture", std::string("llama")},
                                {"a.count", std::uint32_t{7}},
                                {"a.signed", std::int32_t{-3}},
                                {"a.real", 0.5F},
                                {"a.flag", true},
                                {"a.counts", std::vector<std::int32_t>{1, -2}},
                                {"a.reals", std::vector<float>{0.25F}},
                                {"a.texts", std::vector<std::string>{"", "two words", "\u2581"}}};
const std::vector<TensorSpec> kSpecs = {
    {"x", Dtype::f32, {2, 3}}, {"y", Dtype::f16, {5}}, {"z", Dtype::bf16, {1, 2, 2}}};

std::vector<std::byte> some_bytes(std::size_t count) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(i + 1);
  return bytes;
}

void write(const std::filesystem::path& file) {
  GgufWriter writer(file, kMetadata, kSpecs);
  writer.write("z", some_bytes(8));
  writer.write("x", some_bytes(24));
  writer.write("y", some_bytes(10));
  writer.finish();
}

std::string content(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

TEST(Gguf, ReadsBackWhatWasWritten) {
  const TemporaryFolder folder;
  write(folder / "a.gguf");
  const GgufFile file = read_gguf(folder / "a.gguf");
  EXPECT_EQ(file.metadata, kMetadata);
  ASSERT_EQ(file.tensors.size(), kSpecs.size());
  for (std::size_t i = 0; i < kSpecs.size(); ++i) {
    EXPECT_EQ(file.tensors[i].name, kSpecs[i].name);
    EXPECT_EQ(file.tensors[i].shape, kSpecs[i].shape);
    EXPECT_EQ(file.tensors[i].dtype, kSpecs[i].dtype);
    EXPECT_TRUE(std::ranges::equal(file.tensors[i].stored, some_bytes(file.tensors[i].stored.size())));
  }
  EXPECT_EQ(file.find("a.missing"), nullptr);
  EXPECT_EQ(std::get<std::int32_t>(*file.find("a.signed")), -3);
}

TEST(Gguf, HeaderIsTheFormatsByteForByte) {
  const std::vector<TensorSpec> specs = {{"w", Dtype::f16, {2, 3}}};
  const GgufLayout layout = lay_out_gguf({{"k", std::uint32_t{9}}}, specs);
  const auto le32 = [](std::uint64_t number) { return le64(number).substr(0, 4); };
  std::string expected = "GGUF" + le32(3) + le64(1) + le64(1);
  expected += le64(1) + "k" + le32(4) + le32(9);
  expected += le64(1) + "w" + le32(2) + le64(3) + le64(2) + le32(1) + le64(0);  // the fastest dimension first
  expected.resize(96, '\0');
  EXPECT_EQ(layout.header, expected);
  EXPECT_EQ(layout.begin, std::vector<std::uint64_t>{96});
  EXPECT_EQ(layout.file_bytes, 96U + 32U);
}

TEST(Gguf, NamesAreUsedOnce) {
  expect_error(ErrorKind::invalid_argument, "must be used once", [] {
    (void)lay_out_gguf({{"k", true}, {"k", false}}, {});
  });
  const std::vector<TensorSpec> twice = {{"w", Dtype::f16, {2}}, {"w", Dtype::f16, {2}}};
  expect_error(ErrorKind::invalid_argument, "must be used once", [&] { (void)lay_out_gguf({}, twice); });
}

TEST(Gguf, TypesItDoesNotHaveAreRefused) {
  const std::vector<TensorSpec> specs = {{"w", Dtype::f64, {2}}};
  expect_error(ErrorKind::unsupported, "F32, F16 and BF16", [&] { (void)lay_out_gguf({}, specs); });
}

TEST(Gguf, AnIncompleteFileIsNotFinished) {
  const TemporaryFolder folder;
  GgufWriter writer(folder / "a.gguf", kMetadata, kSpecs);
  writer.write("x", some_bytes(24));
  EXPECT_THROW(writer.finish(), Error);
}

TEST(Gguf, OtherFilesAreRefused) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::corrupt, "must begin with GGUF",
               [&] { (void)read_gguf(folder.write("a", "GGML and more bytes")); });
  expect_error(ErrorKind::unsupported, "version 2 or 3",
               [&] { (void)read_gguf(folder.write("b", std::string("GGUF\1\0\0\0", 8) + le64(0) + le64(0))); });
  expect_error(ErrorKind::unsupported, "a big-endian file",
               [&] { (void)read_gguf(folder.write("b", std::string("GGUF\0\0\0\3", 8) + le64(0) + le64(0))); });
  // A count that lies must not cost memory.
  expect_error(ErrorKind::corrupt, "count must fit", [&] {
    (void)read_gguf(folder.write("c", std::string("GGUF\3\0\0\0", 8) + le64(1ULL << 60) + le64(0)));
  });
}

using Values = std::vector<std::string>;  // the bytes of x, y and z

/// Nothing when a damaged file is refused.
std::optional<Values> read_values(const std::filesystem::path& path) {
  try {
    Values values;
    for (const TensorView& view : read_gguf(path).tensors) {
      values.emplace_back(reinterpret_cast<const char*>(view.stored.data()), view.stored.size());
    }
    return values;
  } catch (const Error&) {
    return std::nullopt;
  }
}

class DamagedGgufFile : public ::testing::Test {
 protected:
  void SetUp() override {
    write(folder_ / "whole.gguf");
    whole_ = content(folder_ / "whole.gguf");
    for (const TensorView& view : read_gguf(folder_ / "whole.gguf").tensors) {
      places_.push_back({view.file_offset, view.stored.size()});
    }
  }

  struct Place {
    std::size_t begin, size;
  };

  [[nodiscard]] std::string flipped(std::size_t bit) const {
    std::string bytes = whole_;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    return bytes;
  }

  TemporaryFolder folder_;
  std::string whole_;
  std::vector<Place> places_;
};

TEST_F(DamagedGgufFile, EveryTruncationIsRefused) {
  // The last tensor ends before the file's padding does.
  for (std::size_t size = 0; size < whole_.size() - 24; ++size) {
    EXPECT_FALSE(read_values(folder_.write("a.gguf", whole_.substr(0, size)))) << size;
  }
}

TEST_F(DamagedGgufFile, AFlippedBitOfTheDataIsReadAsItIs) {
  for (const Place& tensor : places_) {
    for (std::size_t bit = tensor.begin * 8; bit < (tensor.begin + tensor.size) * 8; ++bit) {
      const std::string damaged = flipped(bit);
      Values expected;
      for (const Place& place : places_) expected.push_back(damaged.substr(place.begin, place.size));
      ASSERT_EQ(read_values(folder_.write("a.gguf", damaged)), expected) << bit;
    }
  }
}

TEST_F(DamagedGgufFile, AFlippedBitOfTheHeaderReadsWithinTheFile) {
  for (std::size_t bit = 0; bit < places_.front().begin * 8; ++bit) {
    const std::string damaged = flipped(bit);
    const auto values = read_values(folder_.write("a.gguf", damaged));
    if (!values) continue;
    for (const std::string& value : *values) ASSERT_NE(damaged.find(value), std::string::npos) << bit;
  }
}

TEST_F(DamagedGgufFile, TensorsFollowOneAnother) {
  // The last 8 bytes of the description of y, the second tensor, are its place: one row of 32 bytes further.
  const std::size_t place = whole_.find(le64(5) + std::string("\1\0\0\0", 4)) + 12;
  ASSERT_EQ(whole_.substr(place, 8), le64(32));
  std::string damaged = whole_;
  damaged.replace(place, 8, le64(64));
  expect_error(ErrorKind::corrupt, "\"y\": must follow the tensor before it, at 32; found 64",
               [&] { (void)read_gguf(folder_.write("a.gguf", damaged)); });
}

}  // namespace
}  // namespace qcqa
