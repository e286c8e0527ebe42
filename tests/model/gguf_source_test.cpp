#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "checkpoint/gguf.hpp"
#include "model/gguf_source.hpp"
#include "qcqa/export/export.hpp"
#include "support/edited_model.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// A Llama-like model, written as GGUF by qcqa itself with nothing merged.
struct Written {
  explicit Written(const std::string& family = "llama") {
    write_pico_model(folder / "in", {.family = family,
                                     .kv_heads = 2,
                                     .head_dim = 4,
                                     .hidden_size = 16,
                                     .biases = family == "qwen2",
                                     .mlp_size = 24});
    std::filesystem::remove(folder / "in/tokenizer.json");
    const Model model = Model::open(folder / "in");
    Plan plan;
    for (const AttentionLayer& layer : model.layers())
      plan.layers.push_back({Grouping::contiguous(layer.kv_heads, layer.kv_heads), layer.layer});
    (void)export_model(model, plan, {.format = FileFormat::gguf}, folder / "out", Overwrite::refuse);
  }
  [[nodiscard]] std::filesystem::path file() const { return folder / "out" / kGgufFile; }

  TemporaryFolder folder;
};

TEST(GgufSource, IsTheModelThatItWasMadeFrom) {
  for (const char* family : {"llama", "qwen2"}) {
    SCOPED_TRACE(family);
    const Written written(family);
    const Model before = Model::open(written.folder / "in");
    const Model after = Model::open(written.file());
    EXPECT_EQ(after.architecture().family, family);
    EXPECT_EQ(after.checkpoint().tensors().size() + 1, before.checkpoint().tensors().size());
    for (const TensorView& tensor : before.checkpoint().tensors()) {
      if (tensor.name == "counter") continue;  // stands for what no class has
      EXPECT_EQ(values_of(after.checkpoint().at(tensor.name)), values_of(tensor)) << tensor.name;
    }
    EXPECT_EQ(after.kv_bytes_per_token(), before.kv_bytes_per_token());
    EXPECT_TRUE(after.notes().empty());
  }
}

TEST(GgufSource, Llama3FactorsAreItsScalingAgain) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {.kv_heads = 2, .head_dim = 16, .hidden_size = 16, .mlp_size = 24});
  std::filesystem::remove(folder / "in/tokenizer.json");
  const nlohmann::ordered_json scaling = {{"rope_type", "llama3"},
                                          {"factor", 8.0},
                                          {"low_freq_factor", 1.0},
                                          {"high_freq_factor", 4.0},
                                          {"original_max_position_embeddings", 8192}};
  edit_config(folder / "in", [&](auto& config) {
    config["rope_theta"] = 500000.0;
    config["rope_scaling"] = scaling;
  });
  const Model model = Model::open(folder / "in");
  const Plan plan = Plan::of({2, Grouping::contiguous(2, 2)});
  (void)export_model(model, plan, {.format = FileFormat::gguf}, folder / "out", Overwrite::refuse);
  EXPECT_EQ(Model::open(folder / "out" / kGgufFile).config()["rope_scaling"], scaling);
}

/// The config of a file with these keys beside the necessary ones.
nlohmann::ordered_json config_with(GgufMetadata more) {
  const TemporaryFolder folder;
  GgufMetadata keys = {{"general.architecture", "llama"},
                       {"llama.attention.head_count", std::uint32_t{2}},
                       {"llama.embedding_length", std::uint32_t{8}},
                       {"llama.feed_forward_length", std::uint32_t{8}},
                       {"llama.block_count", std::uint32_t{1}},
                       {"llama.context_length", std::uint32_t{64}},
                       {"llama.attention.layer_norm_rms_epsilon", 1e-5F}};
  std::ranges::move(more, std::back_inserter(keys));
  const std::vector<TensorSpec> specs = {{"token_embd.weight", Dtype::f32, {4, 8}}};
  GgufWriter writer(folder / "a.gguf", keys, specs);
  writer.write("token_embd.weight", std::vector<std::byte>(4 * 8 * 4));
  writer.finish();
  return read_gguf_source(read_gguf(folder / "a.gguf")).config;
}

TEST(GgufSource, AFactorWithoutAKindIsLinear) {
  const nlohmann::ordered_json linear = {{"rope_type", "linear"}, {"factor", 4.0}};
  EXPECT_FALSE(config_with({}).contains("rope_scaling"));
  EXPECT_EQ(config_with({{"llama.rope.scaling.factor", 4.0F}})["rope_scaling"], linear);
  EXPECT_EQ(config_with({{"llama.rope.scale_linear", 4.0F}})["rope_scaling"], linear);
  EXPECT_FALSE(
      config_with({{"llama.rope.scaling.type", "none"}, {"llama.rope.scaling.factor", 4.0F}}).contains("rope_scaling"));
}

TEST(GgufSource, AFolderWithOneFileIsThatFile) {
  const Written written;
  std::filesystem::create_directory(written.folder / "alone");
  std::filesystem::copy_file(written.file(), written.folder / "alone/a.gguf");
  const Model model = Model::open(written.folder / "alone");
  EXPECT_NE(model.gguf(), nullptr);
  ASSERT_EQ(model.notes().size(), 1U);
  std::filesystem::copy_file(written.file(), written.folder / "alone/b.gguf");
  expect_error(ErrorKind::invalid_argument, "a.gguf, b.gguf", [&] { (void)Model::open(written.folder / "alone"); });
}

/// A file of these keys and two tensors that say nothing.
std::filesystem::path keys_only(const TemporaryFolder& folder, GgufMetadata more) {
  GgufMetadata keys = {{"general.architecture", "llama"},
                       {"llama.attention.head_count", std::uint32_t{2}},
                       {"llama.embedding_length", std::uint32_t{8}}};
  std::ranges::move(more, std::back_inserter(keys));
  const std::vector<TensorSpec> specs = {{"token_embd.weight", Dtype::f32, {4, 8}}};
  std::filesystem::remove(folder / "a.gguf");
  GgufWriter writer(folder / "a.gguf", keys, specs);
  writer.write("token_embd.weight", std::vector<std::byte>(4 * 8 * 4));
  writer.finish();
  return folder / "a.gguf";
}

TEST(GgufSource, WhatNoClassComputesIsRefused) {
  const TemporaryFolder folder;
  const auto refused = [&](ErrorKind kind, const std::string& part, GgufMetadata keys) {
    expect_error(kind, part, [&] { (void)Model::open(keys_only(folder, std::move(keys))); });
  };
  refused(ErrorKind::unsupported, "whole heads must be rotated", {{"llama.rope.dimension_count", std::uint32_t{2}}});
  refused(ErrorKind::unsupported, "mixtures of experts", {{"llama.expert_count", std::uint32_t{8}}});
  refused(ErrorKind::unsupported, "keys and values must have one size",
          {{"llama.attention.value_length", std::uint32_t{2}}});
  refused(ErrorKind::unsupported, "one of 3 parts", {{"split.count", std::uint32_t{3}}});
  refused(ErrorKind::corrupt, "\"llama.feed_forward_length\"", {});
}

TEST(GgufSource, AnotherArchitectureIsNamed) {
  const TemporaryFolder folder;
  GgufWriter writer(folder / "a.gguf", {{"general.architecture", "mamba"}}, std::vector<TensorSpec>{});
  writer.finish();
  expect_error(ErrorKind::unsupported, "found \"mamba\"", [&] { (void)Model::open(folder / "a.gguf"); });
}

/// Opens a damaged file and reads all of it: every value that comes is finite. An Error is fine, a crash is not.
bool reads(const std::filesystem::path& file) {
  try {
    const Model model = Model::open(file);
    for (const TensorView& tensor : model.checkpoint().tensors()) {
      EXPECT_TRUE(std::ranges::all_of(values_of(tensor), [](double value) { return std::isfinite(value); }));
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

TEST(DamagedGguf, NoByteOfTheHeaderCrashesAModel) {
  const Written written;
  std::ifstream stream(written.file(), std::ios::binary);
  const std::string whole((std::istreambuf_iterator<char>(stream)), {});
  const std::size_t header = whole.find("blk.1.") + 400;
  int read = 0;
  for (std::size_t i = 0; i < std::min(header, whole.size()); ++i) {
    for (const int flip : {0x01, 0x80}) {
      std::string damaged = whole;
      damaged[i] = static_cast<char>(damaged[i] ^ flip);
      read += reads(written.folder.write("damaged.gguf", damaged)) ? 1 : 0;
    }
  }
  EXPECT_GT(read, 0);  // names and texts may be anything
}

}  // namespace
}  // namespace qcqa
