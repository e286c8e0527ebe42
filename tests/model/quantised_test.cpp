#include <gtest/gtest.h>

#include "model/quantised.hpp"
#include "support/expect_error.hpp"
#include "support/safetensors_bytes.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using testing::expect_error;
using testing::safetensors_bytes;
using testing::TemporaryFolder;

struct Named {
  std::string_view name, dtype;
};

/// What is said of a checkpoint of these (empty) tensors with this config.json.
void check(std::string_view config, std::initializer_list<Named> tensors, std::string_view carried = {}) {
  const TemporaryFolder folder;
  std::string header = "{";
  for (const Named& tensor : tensors) {
    header.append(header.size() > 1 ? ",\"" : "\"").append(tensor.name).append(R"(":{"dtype":")").append(tensor.dtype);
    header.append(R"(","shape":[0],"data_offsets":[0,0]})");
  }
  folder.write("model.safetensors", safetensors_bytes(header + "}"));
  refuse_quantised(nlohmann::ordered_json::parse(config), Checkpoint::open(folder.path()), folder / "config.json",
                   carried);
}

void expect_refused(std::string_view config, std::initializer_list<Named> tensors, std::string_view part) {
  expect_error(ErrorKind::unsupported, part, [&] { check(config, tensors); });
}

constexpr std::string_view kPlain = "{}";

TEST(Quantised, PlainWeightsAreNoMatter) {
  EXPECT_NO_THROW(check(kPlain, {{"a.weight", "BF16"}, {"a.bias", "F32"}, {"rotary.inv_freq", "F32"}}));
  EXPECT_NO_THROW(check(R"({"quantization_config":null})", {{"a.weight", "F16"}}));
}

TEST(Quantised, ConfigNamesTheKind) {
  const auto said = [](std::string_view method) {
    return std::string(R"({"quantization_config":{"quant_method":")").append(method).append("\"}}");
  };
  expect_refused(said("gptq"), {{"a.qweight", "I32"}},
                 "the weights must not be quantised; found GPTQ, by quantization_config of config.json. Dequantise it "
                 "with GPTQModel");
  expect_refused(said("awq"), {{"a.qweight", "I32"}}, "found AWQ, by quantization_config");
  expect_refused(said("eetq"), {{"a.weight", "I8"}}, "found EETQ");
  expect_refused(said("unheard-of"), {{"a.weight", "U8"}},
                 "found quantization_config of config.json (unheard-of). Give the");
  expect_refused(R"({"quantization_config":{"load_in_4bit":true}})", {{"a.weight", "U8"}}, "found bitsandbytes");
  expect_refused(R"({"quantization":{"group_size":64,"bits":4}})", {{"a.weight", "U32"}, {"a.scales", "F16"}},
                 "found MLX, by quantization of config.json. Dequantise it with mlx-lm");
}

TEST(Quantised, TensorsNameTheKindWhereTheConfigIsSilent) {
  expect_refused(kPlain, {{"a.g_idx", "I32"}, {"a.qweight", "I32"}}, "found GPTQ, by tensors such as a.g_idx (I32)");
  expect_refused(kPlain, {{"a.qweight", "I32"}, {"a.scales", "F16"}}, "found AWQ");
  expect_refused(kPlain, {{"a.weight", "U8"}, {"a.weight.absmax", "F32"}}, "found bitsandbytes");
  expect_refused(kPlain, {{"a.SCB", "F32"}, {"a.weight", "I8"}}, "found bitsandbytes");
  expect_refused(kPlain, {{"a.weight_packed", "I32"}}, "found compressed-tensors");
  expect_refused(kPlain, {{"a.gate_up_proj_blocks", "U8"}}, "found MXFP4");
  expect_refused(kPlain, {{"a.biases", "F16"}, {"a.scales", "F16"}, {"a.weight", "U32"}}, "found MLX");
  expect_refused(kPlain, {{"a.W_q", "U8"}}, "found HQQ");
  expect_refused(kPlain, {{"a.weight", "I8"}}, "found tensors such as a.weight (I8). Give the");
}

TEST(Quantised, AKindMayBeCarriedAlong) {
  constexpr std::string_view kMxfp4 = R"({"quantization_config":{"quant_method":"mxfp4"}})";
  EXPECT_NO_THROW(check(kMxfp4, {{"a.gate_up_proj_blocks", "U8"}}, "mxfp4"));
  expect_error(ErrorKind::unsupported, R"(Add "quantization_config": {"quant_method": "mxfp4"}.)", [] {
    check(kPlain, {{"a.gate_up_proj_blocks", "U8"}}, "mxfp4");
  });
  expect_error(ErrorKind::unsupported, "found HQQ", [] { check(kPlain, {{"a.W_q", "U8"}}, "mxfp4"); });
  expect_error(ErrorKind::unsupported, "where the weights themselves are plain", [&] {
    check(kMxfp4, {{"a.weight", "F16"}}, "mxfp4");
  });
}

TEST(Quantised, StaleConfigIsToBeCleaned) {
  expect_refused(R"({"quantization_config":{"quant_method":"bitsandbytes"}})", {{"a.weight", "F16"}},
                 "config.json: the weights must not be quantised; found quantization_config of config.json, where the "
                 "weights themselves are plain. Take that out");
}

}  // namespace
}  // namespace qcqa
