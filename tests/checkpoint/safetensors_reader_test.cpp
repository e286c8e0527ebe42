#include <gtest/gtest.h>
#include <cstring>

#include "qcqa/checkpoint/checkpoint.hpp"
#include "support/expect_error.hpp"
#include "support/safetensors_bytes.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using testing::expect_error;
using testing::le64;
using testing::safetensors_bytes;
using testing::TemporaryFolder;

Checkpoint open_safetensors(const TemporaryFolder& folder, std::string_view bytes) {
  return Checkpoint::open(folder.write("a.safetensors", bytes));
}

void expect_refused(std::string_view header, std::string_view data, std::string_view part) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::corrupt, part, [&] { (void)open_safetensors(folder, safetensors_bytes(header, data)); });
}

void expect_refused_file(std::string_view bytes, std::string_view part) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::corrupt, part, [&] { (void)open_safetensors(folder, bytes); });
}

std::string one_tensor(std::string_view fields) { return std::string(R"({"w":{)").append(fields).append("}}"); }

TEST(SafetensorsReader, ReadsTensorsInPlace) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint = open_safetensors(
      folder,
      safetensors_bytes(R"({"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[3],"data_offsets":[4,7]},)"
                        R"("a":{"dtype":"I16","shape":[2,1],"data_offsets":[0,4]}})",
                        "\x01\x02\x03\x04xyz"));
  ASSERT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.tensors()[0].name, "a");
  EXPECT_EQ(checkpoint.tensors()[0].shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(checkpoint.tensors()[0].dtype, Dtype::i16);
  EXPECT_EQ(checkpoint.at("a").element_count(), 2);
  EXPECT_EQ(std::memcmp(checkpoint.at("b").stored.data(), "xyz", 3), 0);
  EXPECT_EQ(checkpoint.total_bytes(), 7u);
  EXPECT_EQ(checkpoint.format(), CheckpointFormat::safetensors);
}

TEST(SafetensorsReader, AcceptsScalarsAndEmptyTensors) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint =
      open_safetensors(folder, safetensors_bytes(R"({"s":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                                                 R"("z":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]}})",
                                                 "1234"));
  EXPECT_EQ(checkpoint.at("s").element_count(), 1);
  EXPECT_EQ(checkpoint.at("z").element_count(), 0);
}

TEST(SafetensorsReader, AcceptsAFileWithoutTensors) {
  const TemporaryFolder folder;
  EXPECT_TRUE(open_safetensors(folder, safetensors_bytes("{}")).tensors().empty());
}

TEST(SafetensorsReader, AcceptsWhitespaceAroundTheHeader) {
  const TemporaryFolder folder;
  EXPECT_NO_THROW((void)open_safetensors(folder, safetensors_bytes(" \t\n{} \r\n ")));
}

TEST(SafetensorsReader, NamesOtherContent) {
  expect_refused_file("<!doctype html><html>", "found a text, such as a page that says why not");
  expect_refused_file(std::string("PK\x03\x04") + std::string(20, '\xff'),
                      "found a zip archive, as PyTorch writes. Rename it");
}

// As the reference implementation; some writers have nothing to say there.
TEST(SafetensorsReader, AcceptsMetadataOfNull) {
  const TemporaryFolder folder;
  EXPECT_TRUE(open_safetensors(folder, safetensors_bytes(R"({"__metadata__":null})")).tensors().empty());
}

TEST(SafetensorsReader, IgnoresUnknownFields) {
  const TemporaryFolder folder;
  const std::string header =
      one_tensor(R"("dtype":"U8","extra":{"shape":[1,{"dtype":3}]},"shape":[1],"more":null,"data_offsets":[0,1])");
  EXPECT_EQ(open_safetensors(folder, safetensors_bytes(header, "x")).tensors().size(), 1u);
}

TEST(SafetensorsReader, RejectsFileShorterThanTheLength) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::corrupt, "8 bytes of header length; found 7 bytes",
               [&] { (void)open_safetensors(folder, "1234567"); });
  expect_error(ErrorKind::corrupt, "found 0 bytes", [&] { (void)open_safetensors(folder, ""); });
}

TEST(SafetensorsReader, RejectsHeaderLengthAboveTheLimit) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::corrupt, "not be longer than 100000000 bytes; found 100000001",
               [&] { (void)open_safetensors(folder, le64(100'000'001) + "{}"); });
  expect_error(ErrorKind::corrupt, "not be longer than 100000000 bytes",
               [&] { (void)open_safetensors(folder, le64(~std::uint64_t{0}) + "{}"); });
}

TEST(SafetensorsReader, RejectsHeaderBeyondTheFile) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::corrupt, "must lie within the file", [&] { (void)open_safetensors(folder, le64(3) + "{}"); });
}

TEST(SafetensorsReader, RecognisesGitLfsPointers) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::not_found, "git lfs pull", [&] {
    (void)open_safetensors(folder, "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
  });
}

TEST(SafetensorsReader, RejectsInvalidJson) { expect_refused("{\"w\":", "", "valid UTF-8 JSON"); }
TEST(SafetensorsReader, RejectsTextAfterTheHeader) { expect_refused("{}}", "", "valid UTF-8 JSON"); }
TEST(SafetensorsReader, RejectsInvalidUtf8) {
  expect_refused("{\"\xff\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", "", "valid UTF-8 JSON");
}
TEST(SafetensorsReader, RejectsByteOrderMark) { expect_refused("\xef\xbb\xbf{}", "", "byte order mark"); }
TEST(SafetensorsReader, RejectsEmptyHeader) { expect_refused("", "", "valid UTF-8 JSON"); }

TEST(SafetensorsReader, SurvivesDeepNesting) {
  const std::string deep(1'000'000, '[');
  expect_refused(deep, "", "must be a JSON object");
  expect_refused("{\"w\":{\"x\":" + deep, "", "valid UTF-8 JSON");
}

TEST(SafetensorsReader, RejectsRootThatIsNoObject) {
  expect_refused("[]", "", "must be a JSON object");
  expect_refused("7", "", "must be a JSON object");
}

TEST(SafetensorsReader, RejectsMetadataThatIsNotStrings) {
  expect_refused(R"({"__metadata__":{"a":1}})", "", "object of strings; found 1");
  expect_refused(R"({"__metadata__":{"a":{}}})", "", "object of strings");
  expect_refused(R"({"__metadata__":[]})", "", "object of strings");
  expect_refused(R"({"__metadata__":"x"})", "", "object of strings");
}

TEST(SafetensorsReader, RejectsDuplicateNames) {
  const std::string w = R"("w":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  expect_refused("{" + w + "," + w + "}", "", "every name must occur once; found a second tensor");
  expect_refused(R"({"__metadata__":{},"__metadata__":{}})", "", "two __metadata__");
  // The same name written with an escape.
  expect_refused("{" + w + R"(,"\u0077":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", "",
                 "every name must occur");
}

TEST(SafetensorsReader, RejectsTensorThatIsNoObject) {
  expect_refused(R"({"w":1})", "", "described by an object; found 1");
  expect_refused(R"({"w":[]})", "", "described by an object");
}

TEST(SafetensorsReader, RejectsMissingFields) {
  expect_refused(one_tensor(R"("shape":[0],"data_offsets":[0,0])"), "", "found no dtype");
  expect_refused(one_tensor(R"("dtype":"U8","data_offsets":[0,0])"), "", "found no shape");
  expect_refused(one_tensor(R"("dtype":"U8","shape":[0])"), "", "found no data_offsets");
}

TEST(SafetensorsReader, RejectsRepeatedFields) {
  expect_refused(one_tensor(R"("dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0])"), "", "a second \"dtype\"");
}

TEST(SafetensorsReader, RejectsUnknownDtypeWithHint) {
  expect_refused(one_tensor(R"("dtype":"bf16","shape":[0],"data_offsets":[0,0])"), "", "found \"bf16\"");
  expect_refused(one_tensor(R"("dtype":"BF61","shape":[0],"data_offsets":[0,0])"), "", "Did you mean");
  expect_refused(one_tensor(R"("dtype":5,"shape":[0],"data_offsets":[0,0])"), "", "dtype must be a string");
}

TEST(SafetensorsReader, RejectsShapesThatAreNotNaturalNumbers) {
  for (const char* shape : {"[-1]", "[1.0]", "[\"1\"]", "[null]", "[[1]]", "[9223372036854775808]", "[1e3]"}) {
    expect_refused(one_tensor(std::string(R"("dtype":"U8","shape":)") + shape + R"(,"data_offsets":[0,0])"), "",
                   "shape must hold integers");
  }
  for (const char* shape : {"1", "{}", "\"x\"", "null"}) {
    expect_refused(one_tensor(std::string(R"("dtype":"U8","shape":)") + shape + R"(,"data_offsets":[0,0])"), "",
                   "shape must be an array");
  }
}

TEST(SafetensorsReader, RejectsOffsetsThatAreNotTwoNaturalNumbers) {
  for (const char* offsets : {"[]", "[0]", "[0,0,0]", "{}", "0"}) {
    expect_refused(one_tensor(std::string(R"("dtype":"U8","shape":[0],"data_offsets":)") + offsets), "",
                   "array of two integers");
  }
  for (const char* offsets : {"[-1,0]", "[0,1.5]", "[0,18446744073709551616]"}) {
    expect_refused(one_tensor(std::string(R"("dtype":"U8","shape":[0],"data_offsets":)") + offsets), "",
                   "data_offsets must hold integers");
  }
}

std::string two_tensors(std::string_view first_offsets, std::string_view second_offsets) {
  return std::string(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)")
      .append(first_offsets)
      .append(R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)")
      .append(second_offsets)
      .append("}}");
}

TEST(SafetensorsReader, RejectsHoleBetweenTensors) {
  expect_refused(two_tensors("[0,2]", "[3,5]"), "12345", "without holes");
}
TEST(SafetensorsReader, RejectsHoleBeforeTheFirst) {
  expect_refused(two_tensors("[1,3]", "[3,5]"), "12345", "without holes");
}
TEST(SafetensorsReader, RejectsOverlap) { expect_refused(two_tensors("[0,2]", "[1,3]"), "123", "must not overlap"); }
TEST(SafetensorsReader, RejectsBackwardsOffsets) {
  expect_refused(two_tensors("[0,2]", "[2,1]"), "12", "run backwards");
}

TEST(SafetensorsReader, RejectsSizeThatOverflows) {
  expect_refused(one_tensor(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"), "",
                 "fit in 64 bits");
  expect_refused(one_tensor(R"("dtype":"F32","shape":[2305843009213693952],"data_offsets":[0,0])"), "",
                 "fit in 64 bits");
}

TEST(SafetensorsReader, RejectsPartsOfBytes) {
  expect_refused(one_tensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])"), "x", "fill whole bytes");
}

TEST(SafetensorsReader, AcceptsSubByteTypesThatFillBytes) {
  const TemporaryFolder folder;
  EXPECT_NO_THROW((void)open_safetensors(
      folder, safetensors_bytes(one_tensor(R"("dtype":"F6_E2M3","shape":[4],"data_offsets":[0,3])"), "xyz")));
}

TEST(SafetensorsReader, RejectsSizeThatDisagreesWithTheShape) {
  expect_refused(one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), "1234", "found 4 bytes instead of 8");
}

TEST(SafetensorsReader, RejectsTruncatedData) {
  expect_refused(one_tensor(R"("dtype":"U8","shape":[4],"data_offsets":[0,4])"), "123", "must hold all its tensors");
}

TEST(SafetensorsReader, RejectsTrailingBytes) {
  expect_refused(one_tensor(R"("dtype":"U8","shape":[4],"data_offsets":[0,4])"), "12345", "no bytes may follow");
}

TEST(SafetensorsReader, NamesFileAndTensorInTheMessage) {
  expect_refused(one_tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), "1234",
                 "a.safetensors: tensor \"w\": ");
}

}  // namespace
}  // namespace qcqa
