#include <gtest/gtest.h>
#include <string>

#include "qcqa/checkpoint/checkpoint.hpp"
#include "support/expect_error.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using testing::expect_error;
using testing::TemporaryFolder;

/// What is said of a folder that holds just these (empty) files.
void expect_refused(std::initializer_list<std::string_view> files, ErrorKind kind, std::string_view part) {
  const TemporaryFolder folder;
  for (const std::string_view file : files) {
    std::filesystem::create_directories((folder / file).parent_path());
    folder.write(file, "");
  }
  expect_error(kind, part, [&] { (void)Checkpoint::open(folder.path()); });
}

TEST(FolderWithoutWeights, NamesTheBaseOfAnAdapter) {
  const TemporaryFolder folder;
  folder.write("adapter_config.json", R"({"peft_type":"LORA","base_model_name_or_path":"a/b"})");
  folder.write("adapter_model.safetensors", "");
  expect_error(ErrorKind::unsupported,
               "an adapter is no model by itself; found a LoRA adapter of a/b. Merge it into its base first",
               [&] { (void)Checkpoint::open(folder.path()); });
}

TEST(FolderWithoutWeights, RefusesAnAdapterWhoseConfigIsBroken) {
  expect_refused({"adapter_config.json"}, ErrorKind::unsupported, "found an adapter. Merge");
}

TEST(FolderWithoutWeights, SaysWhereALinkLeads) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("../../blobs/0123", folder / "model.safetensors");
  expect_error(ErrorKind::not_found,
               "model.safetensors: a link must lead to a file; found a link to ../../blobs/0123, which is not there",
               [&] { (void)Checkpoint::open(folder.path()); });
}

TEST(FolderWithoutWeights, SaysThatLinksLeadInACircle) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("model.safetensors", folder / "pytorch_model.bin");
  std::filesystem::create_symlink("pytorch_model.bin", folder / "model.safetensors");
  expect_error(ErrorKind::not_found, "links that lead in a circle", [&] { (void)Checkpoint::open(folder.path()); });
}

TEST(FolderWithoutWeights, SaysWhatElseIsThere) {
  const auto unsupported = ErrorKind::unsupported;
  expect_refused({"tf_model.h5"}, unsupported, "only weights of TensorFlow (tf_model.h5)");
  expect_refused({"consolidated.00.pth", "params.json"}, unsupported,
                 "in their makers' own format (consolidated.00.pth)");
  expect_refused({"__0_0.distcp", ".metadata"}, unsupported, "dcp_to_torch");
  expect_refused({"pytorch_model_fsdp_0/x"}, unsupported, "accelerate merge-weights");
}

TEST(FolderWithoutWeights, SaysThatOnlyATokenizerIsThere) {
  expect_refused({"tokenizer.json"}, ErrorKind::not_found, "only a tokenizer, no weights");
  const TemporaryFolder folder;
  folder.write("config.json", "{}");
  folder.write("tokenizer.json", "{}");
  expect_error(ErrorKind::not_found, "only config.json and a tokenizer, no weights",
               [&] { (void)Checkpoint::open(folder.path()); });
}

TEST(FolderWithoutWeights, AsksForTheIndexOfItsShards) {
  expect_refused({"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"}, ErrorKind::not_found,
                 "Download model.safetensors.index.json too.");
  expect_refused({"pytorch_model-00001-of-00001.bin"}, ErrorKind::not_found, "Rename it to pytorch_model.bin.");
}

TEST(FolderWithoutWeights, NamesWeightsUnderAnotherName) {
  expect_refused({"model.fp16.safetensors"}, ErrorKind::not_found, "a variant. Rename it to model.safetensors.");
  expect_refused({"model.safetensors.index.fp16.json"}, ErrorKind::not_found,
                 "Rename it to model.safetensors.index.json.");
  expect_refused({"weights.safetensors", "optimizer.pt"}, ErrorKind::not_found, "found weights.safetensors, a name");
}

TEST(FolderWithoutWeights, FindsTheModelBelow) {
  expect_refused({"checkpoint-5/config.json", "optimizer.pt"}, ErrorKind::not_found,
                 "a model in checkpoint-5. Give the path");
  expect_refused({"snapshots/abc/config.json"}, ErrorKind::not_found, "a model in snapshots/abc");
}

}  // namespace
}  // namespace qcqa
