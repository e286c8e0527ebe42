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
  return safetensors_bytes(
      std::string("{\"").append(name).append(R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})"),
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

TEST(Checkpoint, PrefersTheSingleFileToTheIndex) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file_with("single"));
  folder.write(kIndex, index_of(R"({"sharded":"gone.safetensors"})"));  // stale, as after saving again
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_NE(checkpoint.find("single"), nullptr);
  ASSERT_EQ(checkpoint.files().size(), 1u);
  ASSERT_EQ(checkpoint.notes().size(), 1u);
  EXPECT_EQ(checkpoint.notes()[0],
            "the weights are read from model.safetensors, as transformers does, not from model.safetensors.index.json");
}

TEST(Checkpoint, HasNothingToSayOfOneFile) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file_with("w"));
  EXPECT_TRUE(Checkpoint::open(folder.path()).notes().empty());
}

TEST(Checkpoint, SaysThatAnAdapterBesideTheWeightsIsNotApplied) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file_with("w"));
  folder.write("adapter_config.json", "{}");
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  ASSERT_EQ(checkpoint.notes().size(), 1u);
  EXPECT_NE(checkpoint.notes()[0].find("the adapter in the folder is not applied"), std::string::npos);
}

TEST(Checkpoint, PassesOverALinkToNothing) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("../gone", folder / "model.safetensors");
  folder.write("part.safetensors", file_with("w"));
  folder.write(kIndex, index_of(R"({"w":"part.safetensors"})"));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_NE(checkpoint.find("w"), nullptr);
  ASSERT_EQ(checkpoint.notes().size(), 1u);
  EXPECT_NE(checkpoint.notes()[0].find("model.safetensors is a link that leads to no file"), std::string::npos);
}

TEST(Checkpoint, ReadsTheFileThatTheConfigNames) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file_with("default"));
  folder.write("other.safetensors", file_with("named"));
  folder.write("config.json", R"({"transformers_weights":"other.safetensors"})");
  EXPECT_NE(Checkpoint::open(folder.path()).find("named"), nullptr);
  for (const char* name : {R"("../other.safetensors")", R"("other.bin")", "3"}) {
    folder.write("config.json", std::string(R"({"transformers_weights":)") + name + "}");
    expect_error(ErrorKind::corrupt, "\"transformers_weights\" must name a safetensors file",
                 [&] { (void)Checkpoint::open(folder.path()); });
  }
}

TEST(Checkpoint, PrefersSafetensorsToPytorch) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", file_with("w"));
  folder.write("pytorch_model.bin", "");
  EXPECT_EQ(Checkpoint::open(folder.path()).format(), CheckpointFormat::safetensors);
}

TEST(Checkpoint, OpensAnIndexFile) {
  const TemporaryFolder folder;
  folder.write("part.safetensors", file_with("w"));
  EXPECT_EQ(Checkpoint::open(folder.write("x.index.json", index_of(R"({"w":"part.safetensors"})"))).tensors().size(),
            1u);
}

std::string file_with_two(char v, char w) {
  return safetensors_bytes(R"({"v":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                           R"("w":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                           std::string{v, w});
}

TEST(ShardIndex, TensorThatTheIndexForgotCounts) {
  const TemporaryFolder folder;
  folder.write("1.safetensors", file_with_two('v', 'w'));
  folder.write(kIndex, index_of(R"({"v":"1.safetensors"})"));
  EXPECT_NE(Checkpoint::open(folder.path()).find("w"), nullptr);
}

TEST(ShardIndex, TensorThatNoShardHasIsLeftToTheModelToMiss) {
  const TemporaryFolder folder;
  folder.write("1.safetensors", file_with("a"));
  folder.write(kIndex, index_of(R"({"a":"1.safetensors","b":"1.safetensors"})"));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), 1u);
  EXPECT_EQ(checkpoint.find("b"), nullptr);
}

// As transformers does, whatever the index says.
TEST(ShardIndex, LastFileCountsOfATensorInTwo) {
  const TemporaryFolder folder;
  folder.write("1.safetensors", file_with("w", '1'));
  folder.write("2.safetensors", file_with_two('v', '2'));
  folder.write(kIndex, index_of(R"({"w":"1.safetensors","v":"2.safetensors"})"));
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.at("w").file, folder / "2.safetensors");
  ASSERT_EQ(checkpoint.notes().size(), 1u);
  EXPECT_EQ(checkpoint.notes()[0],
            "several shards hold \"w\": that of the last file counts, 2.safetensors, as in transformers");
}

TEST(ShardIndex, PathsMayBeginWithADotOrLeadIntoAFolder) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "sub");
  folder.write("1.safetensors", file_with("a"));
  folder.write("sub/2.safetensors", file_with("b"));
  folder.write(kIndex, index_of(R"({"a":"./1.safetensors","b":"sub/2.safetensors"})"));
  EXPECT_EQ(Checkpoint::open(folder.path()).tensors().size(), 2u);
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
  expect_error(ErrorKind::not_found, "no such file or folder", [&] { (void)Checkpoint::open(folder / "nothing"); });
}

TEST(Checkpoint, SaysWhatIsAcceptedInAnEmptyFolder) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::not_found,
               "accepted: model.safetensors, model.safetensors.index.json, "
               "pytorch_model.bin, pytorch_model.bin.index.json",
               [&] { (void)Checkpoint::open(folder.path()); });
}

TEST(Checkpoint, SaysThatAFolderHoldsOnlyGguf) {
  const TemporaryFolder folder;
  folder.write("m.gguf", "GGUF");
  expect_error(ErrorKind::unsupported, "only GGUF (m.gguf)", [&] { (void)Checkpoint::open(folder.path()); });
  expect_error(ErrorKind::corrupt, "must not end in the middle of a record",
               [&] { (void)Checkpoint::open(folder / "m.gguf"); });
}

TEST(Checkpoint, NamesTheNearestTensor) {
  const TemporaryFolder folder;
  const Checkpoint checkpoint = Checkpoint::open(folder.write("a.safetensors", file_with("lm_head.weight")));
  EXPECT_EQ(checkpoint.find("lm_haed.weight"), nullptr);
  expect_error(ErrorKind::not_found, "no tensor \"lm_haed.weight\" in the checkpoint. Did you mean \"lm_head.weight\"?",
               [&] { (void)checkpoint.at("lm_haed.weight"); });
}

TEST(ShardIndex, ListsAllMissingShardsAtOnce) {
  const TemporaryFolder folder;
  folder.write("2.safetensors", file_with("b"));
  folder.write(kIndex, index_of(R"({"a":"1.safetensors","b":"2.safetensors","c":"3.safetensors"})"));
  expect_error(ErrorKind::not_found, "2 of 3 missing: 1.safetensors, 3.safetensors",
               [&] { (void)Checkpoint::open(folder.path()); });
}

TEST(ShardIndex, RejectsNamesThatLeaveTheFolder) {
  for (const char* name :
       {"../x.safetensors", "/etc/passwd", "sub/../../x", "..", ".", "", "sub/", "a\\\\b", "a\\u0000b"}) {
    const TemporaryFolder folder;
    folder.write(kIndex, index_of(std::string(R"({"a":")") + name + "\"}"));
    expect_error(ErrorKind::corrupt, "must be a file in the index's folder",
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
  refused(index_of("{}"), "an index must name a shard");
}

TEST(ShardIndex, RecognisesGitLfsPointers) {
  const TemporaryFolder folder;
  folder.write(kIndex, "version https://git-lfs.github.com/spec/v1\n");
  expect_error(ErrorKind::not_found, "git lfs pull", [&] { (void)Checkpoint::open(folder.path()); });
}

}  // namespace
}  // namespace qcqa
