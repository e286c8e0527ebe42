#include "qcqa/model/architecture.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "support/expect_error.hpp"

namespace qcqa {
namespace {

using testing::expect_error;

nlohmann::json description() {
  return {{"family", "x"},
          {"model_types", {"x"}},
          {"model_class", "XForCausalLM"},
          {"config", {{"layers", "l"}, {"hidden_size", "d"}, {"query_heads", "h"}, {"kv_heads", nullptr}, {"head_dim", nullptr}}},
          {"attention", {{"prefix", "layers.{layer}."}, {"projections", {{{"tensor", "qkv"}, {"holds", {"query", "key", "value"}}}}}, {"output", "o"}}}};
}

TEST(Architecture, EmbeddedDescriptionsCoverTheFamiliesWePromise) {
  for (const char* type : {"llama", "mistral", "qwen2", "phi3", "gpt_neox"}) {
    EXPECT_EQ(find_architecture({{"model_type", type}}, "config.json").family, type);
  }
}

TEST(Architecture, UnknownModelTypeListsWhatIsSupported) {
  expect_error(ErrorKind::unsupported, "Supported: gemma, gemma2, gpt_neox",
               [] { (void)find_architecture({{"model_type", "mamba"}}, "config.json"); });
}

TEST(Architecture, MissingModelTypeIsUnsupported) {
  expect_error(ErrorKind::unsupported, "must name a model_type", [] { (void)find_architecture(nlohmann::json::object(), "c"); });
}

TEST(Architecture, RefusalsNameKeyAndReason) {
  expect_error(ErrorKind::unsupported, "qk_layernorm must not be true",
               [] { (void)find_architecture({{"model_type", "stablelm"}, {"qk_layernorm", true}}, "c"); });
}

TEST(Architecture, TensorNamesCarryTheLayer) {
  EXPECT_EQ(parse_architecture(description().dump(), "x.json").tensor_name(12, "qkv", ".bias"), "layers.12.qkv.bias");
}

TEST(Architecture, UnknownKeyIsAnError) {
  auto json = description();
  json["attention"]["prefixx"] = "";
  expect_error(ErrorKind::invalid_argument, "known keys only; found prefixx", [&] { (void)parse_architecture(json.dump(), "x.json"); });
}

TEST(Architecture, MissingKeyIsAnError) {
  auto json = description();
  json["config"].erase("head_dim");
  expect_error(ErrorKind::invalid_argument, "needs the key \"head_dim\"", [&] { (void)parse_architecture(json.dump(), "x.json"); });
}

TEST(Architecture, UnknownRoleIsAnError) {
  auto json = description();
  json["attention"]["projections"][0]["holds"][0] = "quest";
  expect_error(ErrorKind::invalid_argument, "a role is", [&] { (void)parse_architecture(json.dump(), "x.json"); });
}

TEST(Architecture, PrefixWithoutLayerIsAnError) {
  auto json = description();
  json["attention"]["prefix"] = "layers.";
  expect_error(ErrorKind::invalid_argument, "{layer}", [&] { (void)parse_architecture(json.dump(), "x.json"); });
}

}  // namespace
}  // namespace qcqa
