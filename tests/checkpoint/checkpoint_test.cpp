#include "qcqa/checkpoint/checkpoint.hpp"

#include <gtest/gtest.h>
#include <cstring>

#include "support/expect_error.hpp"
#include "support/safetensors_bytes.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using testing::expect_error;
using testing::safetensors_bytes;
using testing::TemporaryFolder;

std::string file_with(std::string_view name, char value = 'x') {
  return safetensors_bytes(std::string("{\"").append(name).append(
                               R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})"),
                           std::string_view(&value, 1));
}

std::string index_of(std::string_view map) {
  return std::string(R"({"metadata":{"total_size":1},"weight_map":)").append(map).append("}");
}

constexpr const char* kIndex = "model.safetensors.index.json";

TEST(Checkpoint, OpensASingleFile) {
  const TemporaryFolder folder;
  const auto file = folder.write("any-name.safetensors", file_with("w"));
  const Checkpoint checkpoint = Checkpoint::open(file);
  EXPECT_EQ(checkpoint.path(), file);
  ASSERT_EQ(checkpoint.files().size(), 1u);
  EXPECT_EQ(checkpoint.files()[0], file);
}

TEST(Checkpoint, PrefersTheIndexToTheSingleFile) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file_with("single"));
  folder.write("part.safetensors", file_with("sharded"));
  folder.write(kIndex, index_of(R"({"sharded":"part.safetensors"})"));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_NE(checkpoint.find("sharded"), nullptr);
  ASSERT_EQ(checkpoint.files().size(), 2u);
  EXPECT_EQ(checkpoint.files()[0], folder / kIndex);
}

TEST(Checkpoint, PrefersSafetensorsToPytorch) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file_with("w"));
  folder.write("pytorch_model.bin.index.json", index_of("{}"));
  EXPECT_EQ(Checkpoint::open(folder.path()).format(), CheckpointFormat::safetensors);
}

TEST(Checkpoint, OpensAnIndexFile) {
  const TemporaryFolder folder;
  folder.write("part.safetensors", file_with("w"));
  EXPECT_EQ(Checkpoint::open(folder.write("x.index.json", index_of(R"({"w":"part.safetensors"})")))
                .tensors()
                .size(),
            1u);
}

TEST(Checkpoint, TakesATensorFromTheShardTheIndexNames) {
  const TemporaryFolder folder;
  folder.write("1.safetensors", file_with("w", '1'));
  folder.write("2.safetensors",
               safetensors_bytes(R"({"v":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                                 R"("w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                                 "v2"));
  folder.write(kIndex, index_of(R"({"w":"1.safetensors","v":"2.safetensors"})"));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(static_cast<char>(checkpoint.at("w").stored[0]), '1');
  EXPECT_EQ(checkpoint.at("v").file, folder / "2.safetensors");
}

TEST(Checkpoint, CopiesKeepTheMapsAlive) {
  const TemporaryFolder folder;
  const TensorView* view = nullptr;
  auto copy = [&] {
    const Checkpoint checkpoint = Checkpoint::open(folder.write("a.safetensors", file_with("w")));
    view = checkpoint.find("w");
    return checkpoint;
  }();
  EXPECT_EQ(static_cast<char>(view->stored[0]), 'x');
  Checkpoint::will_read(view->stored);
  Checkpoint::done_with(view->stored);
  EXPECT_EQ(static_cast<char>(copy.at("w").stored[0]), 'x');
}

TEST(Checkpoint, ReportsAMissingPath) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::not_found, "no such file or folder",
               [&] { (void)Checkpoint::open(folder / "nothing"); });
}

TEST(Checkpoint, SaysWhatIsAcceptedInAnEmptyFolder) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::not_found,
               "Accepted: model.safetensors.index.json, model.safetensors, "
               "pytorch_model.bin.index.json, pytorch_model.bin",
               [&] { (void)Checkpoint::open(folder.path()); });
}

TEST(Checkpoint, SaysThatAFolderHoldsOnlyGguf) {
  const TemporaryFolder folder;
  folder.write("m.gguf", "GGUF");
  expect_error(ErrorKind::not_found, "only GGUF (m.gguf)",
               [&] { (void)Checkpoint::open(folder.path()); });
  expect_error(ErrorKind::corrupt, "must not end in the middle of a record",
               [&] { (void)Checkpoint::open(folder / "m.gguf"); });
}

TEST(Checkpoint, NamesTheNearestTensor) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint =
      Checkpoint::open(folder.write("a.safetensors", file_with("lm_head.weight")));
  EXPECT_EQ(checkpoint.find("lm_haed.weight"), nullptr);
  expect_error(ErrorKind::not_found,
               "no tensor \"lm_haed.weight\" in the checkpoint. Did you mean \"lm_head.weight\"?",
               [&] { (void)checkpoint.at("lm_haed.weight"); });
}

TEST(ShardIndex, ListsAllMissingShardsAtOnce) {
  const TemporaryFolder folder;
  folder.write("2.safetensors", file_with("b"));
  folder.write(kIndex,
               index_of(R"({"a":"1.safetensors","b":"2.safetensors","c":"3.safetensors"})"));
  expect_error(ErrorKind::not_found, "2 of 3 missing: 1.safetensors, 3.safetensors",
               [&] { (void)Checkpoint::open(folder.path()); });
}

TEST(ShardIndex, RejectsTensorAbsentFromItsShard) {
  const TemporaryFolder folder;
  folder.write("1.safetensors", file_with("a"));
  folder.write(kIndex, index_of(R"({"a":"1.safetensors","b":"1.safetensors"})"));
  expect_error(ErrorKind::corrupt, "no tensor \"b\" in 1.safetensors",
               [&] { (void)Checkpoint::open(folder.path()); });
}

TEST(ShardIndex, RejectsNamesThatLeaveTheFolder) {
  for (const char* name :
       {"../x.safetensors", "/etc/passwd", "sub/x", "..", ".", "", "a\\\\b", "a\\u0000b"}) {
    const TemporaryFolder folder;
    folder.write(kIndex, index_of(std::string(R"({"a":")") + name + "\"}"));
    expect_error(ErrorKind::corrupt, "must be a plain file name",
                 [&] { (void)Checkpoint::open(folder.path()); });
  }
}

TEST(ShardIndex, RejectsMalformedDocuments) {
  const TemporaryFolder folder;
  const auto refused = [&](std::string_view text, std::string_view part) {
    folder.write(kIndex, text);
    expect_error(ErrorKind::corrupt, part, [&] { (void)Checkpoint::open(folder.path()); });
  };
  refused("", "valid UTF-8 JSON");
  refused("[]", "must be a JSON object");
  refused("{}", "needs a weight_map");
  refused(index_of("[]"), "weight_map must be an object");
  refused(index_of("3"), "weight_map must be an object");
  refused(index_of(R"({"a":3})"), "must give a file name for \"a\"");
  refused(index_of(R"({"a":{}})"), "must give a file name for \"a\"");
  refused(index_of(R"({"a":"x","a":"y"})"), "every tensor must occur once");
  refused(R"({"weight_map":{},"weight_map":{}})", "weight_map must occur once");
}

TEST(ShardIndex, RecognisesGitLfsPointers) {
  const TemporaryFolder folder;
  folder.write(kIndex, "version https://git-lfs.github.com/spec/v1\n");
  expect_error(ErrorKind::not_found, "git lfs pull",
               [&] { (void)Checkpoint::open(folder.path()); });
}

}  // namespace
}  // namespace qcqa
