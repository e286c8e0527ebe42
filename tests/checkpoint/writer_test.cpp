#include "qcqa/checkpoint/writer.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "checkpoint/byte_reader.hpp"
#include "qcqa/checkpoint/staged_output.hpp"
#include "support/expect_error.hpp"
#include "support/safetensors_bytes.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using testing::expect_error;
using testing::safetensors_bytes;
using testing::TemporaryFolder;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

TensorSpec u8(std::string name, std::int64_t size) { return {std::move(name), Dtype::u8, {size}}; }

TEST(CheckpointWriter, WritesASingleFileByteForByte) {
  const TemporaryFolder folder;
  CheckpointWriter writer(folder.path(), {{"b", Dtype::f32, {1}}, {"a", Dtype::f32, {1, 1}}});
  writer.write("b", bytes_of("bbbb"));
  writer.write("a", bytes_of("aaaa"));
  writer.finish();
  std::string header = R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},)"
                       R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
  header.append((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(read_text_file(folder / "model.safetensors"), safetensors_bytes(header, "aaaabbbb"));
  EXPECT_FALSE(std::filesystem::exists(folder / "model.safetensors.index.json"));
}

TEST(CheckpointWriter, PutsWiderElementsFirstSoThatAllAreAligned) {
  const TemporaryFolder folder;
  CheckpointWriter writer(folder.path(), {u8("a", 3), {"b", Dtype::f16, {1}}, {"c", Dtype::f64, {1}}});
  writer.write("a", bytes_of("aaa"));
  writer.write("b", bytes_of("bb"));
  writer.write("c", bytes_of("cccccccc"));
  writer.finish();
  const Checkpoint checkpoint = Checkpoint::open(folder.path());
  EXPECT_EQ(as_text(checkpoint.at("a").stored), "aaa");
  EXPECT_EQ(checkpoint.at("b").file_offset % 2, 0u);
  EXPECT_EQ(checkpoint.at("c").file_offset % 8, 0u);
}

TEST(CheckpointWriter, SplitsIntoShardsWithAnIndex) {
  const TemporaryFolder folder;
  const std::vector<TensorSpec> specs{u8("d", 3), u8("c", 9), u8("b", 2), u8("a", 2)};
  const WriterOptions options{.max_shard_bytes = 4};
  CheckpointWriter writer(folder.path(), specs, options);
  writer.write("c", bytes_of("ccccccccc"));
  writer.write("a", bytes_of("aa"));
  writer.write("b", bytes_of("bb"));
  writer.write("d", bytes_of("ddd"));
  writer.finish();

  const auto index = nlohmann::json::parse(read_text_file(folder / "model.safetensors.index.json"));
  EXPECT_EQ(index["metadata"]["total_size"], 16);
  EXPECT_EQ(index["weight_map"]["a"], "model-00001-of-00003.safetensors");
  EXPECT_EQ(index["weight_map"]["b"], "model-00001-of-00003.safetensors");
  EXPECT_EQ(index["weight_map"]["c"], "model-00002-of-00003.safetensors");
  EXPECT_EQ(index["weight_map"]["d"], "model-00003-of-00003.safetensors");
  EXPECT_EQ(as_text(Checkpoint::open(folder.path()).at("c").stored), "ccccccccc");

  const ShardPlan plan = plan_shards(specs, options);
  std::uint64_t on_disk = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) on_disk += entry.file_size();
  EXPECT_EQ(plan.total_file_bytes, on_disk);
  EXPECT_EQ(plan.tensor_bytes, 16u);
  ASSERT_EQ(plan.shards.size(), 3u);
  EXPECT_EQ(plan.shards[0].tensors, (std::vector<std::size_t>{3, 2}));
  EXPECT_EQ(plan.shards[1].file_bytes, std::filesystem::file_size(folder / plan.shards[1].file_name));
}

TEST(CheckpointWriter, WritesNoTensorsAndEmptyTensors) {
  const TemporaryFolder folder;
  CheckpointWriter(folder.path(), {}).finish();
  EXPECT_TRUE(Checkpoint::open(folder.path()).tensors().empty());
  const TemporaryFolder other;
  CheckpointWriter(other.path(), {u8("z", 0)}).finish();
  EXPECT_EQ(Checkpoint::open(other.path()).at("z").element_count(), 0);
}

TEST(CheckpointWriter, TakesPartsInRisingOrder) {
  const TemporaryFolder folder;
  CheckpointWriter writer(folder.path(), {u8("a", 6)});
  writer.write("a", bytes_of("abc"));
  expect_error(ErrorKind::invalid_argument, "rising order", [&] { writer.write("a", bytes_of("x"), 4); });
  writer.write("a", bytes_of("def"), 3);
  writer.finish();
  EXPECT_EQ(as_text(Checkpoint::open(folder.path()).at("a").stored), "abcdef");
}

TEST(CheckpointWriter, RefusesMoreThanDeclared) {
  const TemporaryFolder folder;
  CheckpointWriter writer(folder.path(), {u8("a", 2)});
  expect_error(ErrorKind::invalid_argument, "found 3 bytes instead of 2", [&] { writer.write("a", bytes_of("abc")); });
}

TEST(CheckpointWriter, RefusesUndeclaredNames) {
  const TemporaryFolder folder;
  CheckpointWriter writer(folder.path(), {u8("a", 2)});
  expect_error(ErrorKind::invalid_argument, "declared before", [&] { writer.write("b", bytes_of("x")); });
}

TEST(CheckpointWriter, FinishNamesTheIncompleteTensor) {
  const TemporaryFolder folder;
  CheckpointWriter writer(folder.path(), {u8("a", 2), u8("b", 2)});
  writer.write("a", bytes_of("xx"));
  expect_error(ErrorKind::internal, "tensor \"b\": every tensor must be written completely; found 0 of 2 bytes",
               [&] { writer.finish(); });
}

TEST(CheckpointWriter, CopiesFromAnotherCheckpoint) {
  const TemporaryFolder folder;
  std::string data(40'000'001, 'q');  // several chunks, with an odd end
  data[0] = 'f';
  data.back() = 'l';
  const std::string header = R"({"p":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
                             R"("w":{"dtype":"U8","shape":[40000001],"data_offsets":[3,40000004]}})";
  const Checkpoint source = Checkpoint::open(folder.write("in.safetensors", safetensors_bytes(header, "abc" + data)));
  CheckpointWriter writer(folder.path(), {u8("w", 40'000'001), u8("p", 3)});
  writer.copy("w", source.at("w"));
  writer.copy("p", source.at("p"));
  writer.finish();
  const Checkpoint result = Checkpoint::open(folder / "model.safetensors");
  EXPECT_TRUE(as_text(result.at("w").stored) == data);
  EXPECT_EQ(as_text(result.at("p").stored), "abc");
}

TEST(CheckpointWriter, CopyRefusesOtherTypesAndSizes) {
  const TemporaryFolder folder;
  const std::string header = R"({"w":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})";
  const Checkpoint source = Checkpoint::open(folder.write("in.safetensors", safetensors_bytes(header, "abc")));
  CheckpointWriter writer(folder.path(), {u8("w", 4), {"v", Dtype::i8, {3}}});
  expect_error(ErrorKind::invalid_argument, "declared size", [&] { writer.copy("w", source.at("w")); });
  expect_error(ErrorKind::invalid_argument, "declared dtype", [&] { writer.copy("v", source.at("w")); });
}

std::string thread_tensor(int i) { return std::to_string(i).append(".weight"); }

TEST(CheckpointWriter, TakesDifferentTensorsFromDifferentThreads) {
  const TemporaryFolder folder;
  std::vector<TensorSpec> specs;
  for (int i = 0; i < 16; ++i) specs.push_back(u8(thread_tensor(i), 1000));
  CheckpointWriter writer(folder.path(), specs, {.max_shard_bytes = 3000});
  std::vector<std::thread> threads;
  for (int i = 0; i < 16; ++i) {
    threads.emplace_back([&writer, i] {
      const std::string data(500, static_cast<char>('a' + i));
      writer.write(thread_tensor(i), bytes_of(data));
      writer.write(thread_tensor(i), bytes_of(data), 500);
    });
  }
  for (std::thread& thread : threads) thread.join();
  writer.finish();
  const Checkpoint result = Checkpoint::open(folder.path());
  for (int i = 0; i < 16; ++i) {
    EXPECT_EQ(as_text(result.at(thread_tensor(i)).stored), std::string(1000, static_cast<char>('a' + i)));
  }
}

TEST(CheckpointWriter, NeverWritesOverAnExistingFile) {
  const TemporaryFolder folder;
  folder.write("model.safetensors", "precious");
  expect_error(ErrorKind::io, "cannot be created", [&] { CheckpointWriter(folder.path(), {u8("a", 2)}); });
  EXPECT_EQ(read_text_file(folder / "model.safetensors"), "precious");
}

TEST(CheckpointWriter, ReportsAFileSizeLimit) {
  const TemporaryFolder folder;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{.rlim_cur = 4096, .rlim_max = 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      CheckpointWriter(folder.path(), {u8("a", 1'000'000)});
    } catch (const Error& error) {
      ::_exit(error.kind() == ErrorKind::io ? 0 : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(PlanShards, RefusesDuplicateNames) {
  const std::vector<TensorSpec> specs{u8("a", 1), u8("a", 2)};
  expect_error(ErrorKind::invalid_argument, "declared once", [&] { (void)plan_shards(specs); });
}

TEST(PlanShards, RefusesReservedAndUnwritableNames) {
  const std::vector<TensorSpec> reserved{u8("__metadata__", 1)};
  expect_error(ErrorKind::invalid_argument, "reserved", [&] { (void)plan_shards(reserved); });
  const std::vector<TensorSpec> broken{u8("\xff", 1)};
  expect_error(ErrorKind::invalid_argument, "valid UTF-8", [&] { (void)plan_shards(broken); });
}

TEST(PlanShards, RefusesSizesThatOverflow) {
  const std::int64_t big = std::int64_t{1} << 40;
  const std::vector<TensorSpec> one{{"a", Dtype::u8, {big, big}}};
  expect_error(ErrorKind::invalid_argument, "fit in 64 bits", [&] { (void)plan_shards(one); });
  const std::vector<TensorSpec> negative{{"a", Dtype::u8, {-1}}};
  expect_error(ErrorKind::invalid_argument, "must not be negative", [&] { (void)plan_shards(negative); });
  const std::vector<TensorSpec> half_a_byte{{"a", Dtype::f4, {1}}};
  expect_error(ErrorKind::invalid_argument, "whole bytes", [&] { (void)plan_shards(half_a_byte); });
  expect_error(ErrorKind::invalid_argument, "max_shard_bytes", [&] { (void)plan_shards(one, {.max_shard_bytes = 0}); });
}

TEST(PlanShards, GivesALargeTensorAShardOfItsOwn) {
  const std::vector<TensorSpec> specs{u8("a", 1), u8("b", 100), u8("c", 1)};
  EXPECT_EQ(plan_shards(specs, {.max_shard_bytes = 10}).shards.size(), 3u);
}

TEST(PlanShards, DefaultLimitIsFiveDecimalGigabytes) {
  const std::vector<TensorSpec> fits{u8("a", 2'500'000'000), u8("b", 2'500'000'000)};
  EXPECT_EQ(plan_shards(fits).shards.size(), 1u);
  const std::vector<TensorSpec> above{u8("a", 2'500'000'000), u8("b", 2'500'000'001)};
  EXPECT_EQ(plan_shards(above).shards.size(), 2u);
}

}  // namespace
}  // namespace qcqa
