#include "qcqa/model/architecture.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "support/expect_error.hpp"

namespace qcqa {
namespace {

using testing::expect_error;

nlohmann::json description() {
  return nlohmann::json::parse(R"({
    "family": "x", "model_types": ["x"], "model_class": "XForCausalLM", "base_prefix": "model.",
    "config": {"layers": {"key": "l", "default": 2}, "hidden_size": 4, "query_heads": 2, "kv_heads": null,
               "head_dim": null, "vocabulary": 5, "mlp_width": 4, "positions": 8},
    "embedding": "embed", "output_head": {"tensor": "head", "tied": false},
    "layer_prefix": "layers.{layer}.", "norm": {"kind": "rms", "epsilon": 1e-6},
    "attention": {"prefix": "attn.", "input_norm": null, "rotary": null, "projections": [{"tensor": "qkv", "holds": ["query", "key", "value"]}],
                  "output": {"tensor": "o"}}})");
}

TEST(Architecture, EveryModelTypeFindsItsFamily) {
  for (const Architecture& architecture : supported_architectures()) {
    ASSERT_FALSE(architecture.model_types.empty()) << architecture.family;
    for (const std::string& type : architecture.model_types) {
      EXPECT_EQ(find_architecture({{"model_type", type}}, "config.json").family, architecture.family);
    }
  }
}

TEST(Architecture, FamiliesAreThoseThatTheReadmePromises) {
  std::ifstream file(QCQA_README);
  const std::string readme((std::istreambuf_iterator<char>(file)), {});
  const std::size_t table = readme.find("| family | projections |");
  const std::string rows = readme.substr(table, readme.find("\n\n", table) - table);
  for (const Architecture& architecture : supported_architectures()) {
    const std::regex name("[ |]" + architecture.family + "[, |]");
    EXPECT_TRUE(std::regex_search(rows, name)) << architecture.family;
  }
}

TEST(Architecture, EmbeddedDescriptionsNameFamiliesThatThereAre) {
  const auto all = supported_architectures();
  const auto expect_known = [&](const std::string& family) {
    EXPECT_NE(std::ranges::find(all, family, &Architecture::family), all.end()) << family;
  };
  for (const Architecture& architecture : all) {
    SCOPED_TRACE(architecture.family);
    if (architecture.becomes) expect_known(architecture.becomes->family);
    if (!architecture.padding.as.empty()) expect_known(architecture.padding.as);
    if (!architecture.padding.otherwise.empty()) expect_known(architecture.padding.otherwise);
  }
}

TEST(Architecture, UnknownModelTypeListsWhatIsSupported) {
  expect_error(ErrorKind::unsupported, "Supported: apertus, arcee, baichuan, biogpt", [] {
    (void)find_architecture({{"model_type", "mamba"}}, "config.json");
  });
}

TEST(Architecture, MissingModelTypeIsUnsupported) {
  expect_error(ErrorKind::unsupported, "must name a model_type",
               [] { (void)find_architecture(nlohmann::json::object(), "c"); });
}

TEST(Architecture, RefusalsNameKeyAndReason) {
  expect_error(ErrorKind::unsupported, "qk_layernorm must not be true", [] {
    (void)find_architecture({{"model_type", "stablelm"}, {"qk_layernorm", true}}, "c");
  });
}

TEST(Architecture, ARefusalMayCompareTwoKeys) {
  const auto find = [](const nlohmann::json& sizes) {
    nlohmann::json config = {{"model_type", "opt"}};
    config.update(sizes);
    (void)find_architecture(config, "c");
  };
  expect_error(ErrorKind::unsupported, "word_embed_proj_dim must be hidden_size", [&] {
    find({{"hidden_size", 1024}, {"word_embed_proj_dim", 512}});
  });
  EXPECT_NO_THROW(find({{"hidden_size", 512}, {"word_embed_proj_dim", 512}}));
  EXPECT_NO_THROW(find({{"hidden_size", 512}, {"word_embed_proj_dim", nullptr}}));
}

TEST(Architecture, AnUnknownTypeIsRefusedForWhatItsConfigGivesAway) {
  const auto expect_refusal = [](const nlohmann::json& config, const std::string& wanted) {
    expect_error(ErrorKind::unsupported, wanted, [&] { (void)find_architecture(config, "c"); });
  };
  expect_refusal({{"model_type", "whisper"}, {"is_encoder_decoder", true}},
                 "c: a model must be a decoder by itself; found \"whisper\", with \"is_encoder_decoder\": true, an");
  expect_refusal(
      {{"model_type", "x"}, {"text_config", {{"num_kv_shared_layers", 15}}}},
      "c: each layer must have keys and values of its own; found \"x\", with \"num_kv_shared_layers\": 15, ");
  expect_refusal({{"model_type", "x"}, {"attention_k_eq_v", true}}, "one matrix for both");
  expect_refusal({{"model_type", "x"}, {"kv_lora_rank", 512}}, "multi-head latent attention");
  expect_refusal({{"model_type", "x"}, {"per_layer_config", {{"5", {{"head_dim", 16}}}}}}, "settings of their own");
  expect_refusal({{"model_type", "x"}, {"text_config", {{"model_type", "llama"}}}},
                 "found \"x\", whose text model is a \"llama\". Save the text model by itself");
  expect_refusal({{"model_type", "x"},
                  {"is_encoder_decoder", false},
                  {"num_kv_shared_layers", 0},
                  {"kv_lora_rank", nullptr},
                  {"per_layer_config", nlohmann::json::object()},
                  {"text_config", {{"model_type", "y"}}}},
                 "no description of this model_type's attention tensors");
}

TEST(Architecture, SomeKeysAreRefusedWhateverTheirValue) {
  for (const nlohmann::json& value : {nlohmann::json(0.5), nlohmann::json(nullptr), nlohmann::json(false)}) {
    expect_error(ErrorKind::unsupported, "z_loss_weight must be absent", [&] {
      (void)find_architecture({{"model_type", "baichuan"}, {"z_loss_weight", value}}, "c");
    });
  }
}

TEST(Architecture, AVariantIsTheFirstWhoseConditionsAllHold) {
  auto json = description();
  json["variants"] = nlohmann::json::parse(R"([
    {"when": [{"key": "new", "default": false, "equals": true}, {"key": "norms", "null": 2, "equals": 2}],
     "change": {"embedding": "of two", "output_head": {"tied": true}}},
    {"when": [{"key": "new", "default": false, "equals": true}], "change": {"embedding": "of new"}},
    {"when": [{"key": "length", "equals": null}],
     "change": {"embedding": "of none", "attention": {"output": {"bias": true}}}}])");
  const Architecture family = parse_architecture(json.dump(), "x.json");
  const auto embedding = [&](const nlohmann::json& config) { return variant_of(family, config).embedding; };
  EXPECT_EQ(embedding({{"new", true}, {"norms", 2}}), "of two");
  EXPECT_EQ(embedding({{"new", true}, {"norms", nullptr}}), "of two");
  EXPECT_EQ(embedding({{"new", true}, {"norms", 1}}), "of new");
  EXPECT_EQ(embedding({{"new", true}}), "of new");
  EXPECT_EQ(embedding({{"new", false}, {"norms", 2}}), "of none");
  EXPECT_EQ(embedding({{"length", 4}}), "embed");
  const Architecture& of_none = variant_of(family, nlohmann::json::object());
  EXPECT_TRUE(of_none.output_bias.fallback);
  EXPECT_FALSE(family.output_bias.fallback);
  EXPECT_TRUE(of_none.keys.contains("norms"));  // the family reads it
}

TEST(Architecture, AChangeOfNullTakesAPartAway) {
  auto json = description();
  json["refuse"] = nlohmann::json::parse(R"([{"key": "k", "why": "w"}])");
  json["variants"] = nlohmann::json::parse(R"([{"when": [{"key": "a", "equals": 1}], "change": {"refuse": null}}])");
  const Architecture family = parse_architecture(json.dump(), "x.json");
  EXPECT_EQ(family.refusals.size(), 1U);
  EXPECT_TRUE(variant_of(family, {{"a", 1}}).refusals.empty());
}

TEST(Architecture, AVariantIsADescriptionLikeAnyOther) {
  auto json = description();
  json["variants"] =
      nlohmann::json::parse(R"([{"when": [{"key": "a", "equals": 1}], "change": {"attention": {"prefixx": ""}}}])");
  expect_error(ErrorKind::corrupt, "known keys only; found prefixx",
               [&] { (void)parse_architecture(json.dump(), "x.json"); });
}

TEST(Architecture, MistralWithLayerTypesIsMinistral) {
  EXPECT_EQ(find_architecture({{"model_type", "mistral"}, {"layer_types", nullptr}}, "c").family, "ministral");
  EXPECT_EQ(find_architecture({{"model_type", "mistral"}}, "c").family, "mistral");
}

TEST(Architecture, ConvertedFoldersNameTheirOwnClass) {
  EXPECT_EQ(find_architecture({{"model_type", "qcqa_mistral"}, {"layer_types", nullptr}}, "c").family, "mistral");
}

TEST(Architecture, SettingsHaveADefaultAndMayHaveAMeaningOfNull) {
  auto json = description();
  json["config"]["kv_heads"] = {{"key", "kv"}, {"default", 8}, {"null", 0}};
  const Architecture architecture = parse_architecture(json.dump(), "x.json");
  EXPECT_EQ(architecture.kv_heads.fallback, 8);
  EXPECT_EQ(architecture.kv_heads.null, 0);
  EXPECT_EQ(architecture.layers.null, std::nullopt);
}

TEST(Architecture, SizesAreIntegers) {
  auto json = description();
  json["config"]["layers"]["default"] = 2.5;
  expect_error(ErrorKind::corrupt, "must be an integer", [&] { (void)parse_architecture(json.dump(), "x.json"); });
}

TEST(Architecture, TensorNamesCarryTheLayer) {
  EXPECT_EQ(parse_architecture(description().dump(), "x.json").tensor_name(12, "qkv", ".bias"),
            "layers.12.attn.qkv.bias");
}

TEST(Architecture, UnknownKeyIsAnError) {
  auto json = description();
  json["attention"]["prefixx"] = "";
  expect_error(ErrorKind::corrupt, "known keys only; found prefixx",
               [&] { (void)parse_architecture(json.dump(), "x.json"); });
}

TEST(Architecture, MissingKeyIsAnError) {
  auto json = description();
  json["config"].erase("head_dim");
  expect_error(ErrorKind::corrupt, "must have a member \"head_dim\"",
               [&] { (void)parse_architecture(json.dump(), "x.json"); });
}

TEST(Architecture, UnknownRoleIsAnError) {
  auto json = description();
  json["attention"]["projections"][0]["holds"][0] = "quest";
  expect_error(ErrorKind::corrupt, "a role is", [&] { (void)parse_architecture(json.dump(), "x.json"); });
}

TEST(Architecture, PrefixWithoutLayerIsAnError) {
  auto json = description();
  json["layer_prefix"] = "layers.";
  expect_error(ErrorKind::corrupt, "{layer}", [&] { (void)parse_architecture(json.dump(), "x.json"); });
}

}  // namespace
}  // namespace qcqa
