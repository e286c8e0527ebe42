#include "qcqa/model/model.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "support/edited_model.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// Writes a pico model, changes one key of its config.json and expects the error.
void expect_config_error(ErrorKind kind, std::string_view part, const std::string& key, const nlohmann::json& value) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {});
  auto config = nlohmann::ordered_json::parse(std::ifstream(folder / "config.json"));
  if (value.is_discarded()) {
    config.erase(key);
  } else {
    config[key] = value;
  }
  folder.write("config.json", config.dump());
  expect_error(kind, part, [&] { (void)Model::open(folder.path()); });
}

TEST(HeadSlots, ByRoleKeepsRolesTogether) {
  const Projection projection{"qkv", {HeadRole::query, HeadRole::key, HeadRole::value}, HeadOrder::by_role, {}};
  const auto slots = head_slots(projection, 4, 2);
  ASSERT_EQ(slots.size(), 8U);
  EXPECT_EQ(slots[3].role, HeadRole::query);
  EXPECT_EQ(slots[4].role, HeadRole::key);
  EXPECT_EQ(slots[7].head, 1);
}

TEST(HeadSlots, ByHeadInterleavesRoles) {
  const Projection projection{"qkv", {HeadRole::query, HeadRole::key, HeadRole::value}, HeadOrder::by_head, {}};
  const auto slots = head_slots(projection, 4, 2);  // q0 q1 k0 v0 q2 q3 k1 v1
  ASSERT_EQ(slots.size(), 8U);
  EXPECT_EQ(slots[1].head, 1);
  EXPECT_EQ(slots[2].role, HeadRole::key);
  EXPECT_EQ(slots[4].head, 2);
  EXPECT_EQ(slots[7].role, HeadRole::value);
}

TEST(HeadSlots, ByQueryPutsEachGateBehindItsQuery) {
  const Projection projection{"q", {HeadRole::query, HeadRole::gate}, HeadOrder::by_query, {}};
  const auto slots = head_slots(projection, 4, 2);  // q0 g0 q1 g1 q2 g2 q3 g3
  ASSERT_EQ(slots.size(), 8U);
  EXPECT_EQ(slots[3].role, HeadRole::gate);
  EXPECT_EQ(slots[3].head, 1);
  EXPECT_EQ(slots[6].role, HeadRole::query);
  EXPECT_EQ(slots[6].head, 3);
}

TEST(HeadSlots, ByPartKeepsRolesTogetherInEveryPart) {
  const Projection projection{"qkv", {HeadRole::query, HeadRole::value, HeadRole::key}, HeadOrder::by_part, {}, 2};
  const auto slots = head_slots(projection, 4, 4);  // q0 q1 v0 v1 k0 k1 q2 q3 v2 v3 k2 k3
  ASSERT_EQ(slots.size(), 12U);
  EXPECT_EQ(slots[2].role, HeadRole::value);
  EXPECT_EQ(slots[5].head, 1);
  EXPECT_EQ(slots[6].role, HeadRole::query);
  EXPECT_EQ(slots[6].head, 2);
  EXPECT_EQ(slots[11].head, 3);
}

TEST(Model, EveryFamilyGivesTheSameHeadView) {
  for (const Architecture& architecture : supported_architectures()) {
    SCOPED_TRACE(architecture.family);
    const TemporaryFolder folder;
    const bool grouped = !architecture.kv_heads.key.empty();
    write_pico_model(folder.path(), {.family = architecture.family, .kv_heads = grouped ? 2 : 4, .biases = true});
    const Model model = Model::open(folder.path());
    EXPECT_EQ(model.architecture().family, architecture.family);
    ASSERT_EQ(model.layers().size(), 2U);
    const AttentionLayer& layer = model.layers()[1];
    EXPECT_EQ(layer.key.size(), grouped ? 2U : 4U);
    EXPECT_EQ(layer.query.size(), 4U);
    const std::string bias = architecture.tensor_name(1, architecture.projections.front().tensor, ".bias");
    for (const auto* heads : {&layer.query, &layer.key, &layer.value}) {
      for (const HeadRows& head : *heads) {
        EXPECT_EQ(head.weight.size(), 3U * 12U);
        EXPECT_EQ(head.bias.size(), model.checkpoint().find(bias) ? 3U : 0U);
      }
    }
    EXPECT_EQ(layer.kv_head_of(3), grouped ? 1 : 3);
    EXPECT_EQ(model.kv_bytes_per_token(), 2 * 2 * (grouped ? 2 : 4) * 3 * 4);
  }
}

/// A small model with a model_type of its own and no tensor that its class does not need.
void write_unknown(const TemporaryFolder& folder, const PicoModel& pico) {
  write_pico_model(folder.path(), pico);
  edit_config(folder.path(), [](nlohmann::ordered_json& config) { config["model_type"] = "of_its_own"; });
  edit_tensors(folder.path(), [](std::vector<EditedTensor>& tensors) {
    std::erase_if(tensors, [](const EditedTensor& tensor) { return tensor.spec.name == "counter"; });
  });
}

TEST(Model, AnUnknownTypeIsTakenForAFamilyThatFits) {
  const TemporaryFolder folder;
  write_unknown(folder, {.mlp_size = 8});
  const Model::FittingFamilies fitting = Model::families_that_fit(folder.path());
  EXPECT_EQ(fitting.model_type, "of_its_own");
  EXPECT_EQ(fitting.families.front(), "llama");
  for (const char* family : {"llama", "mistral"})
    EXPECT_NE(std::ranges::find(fitting.families, family), fitting.families.end()) << family;
  for (const char* family : {"qwen2", "qwen3", "gpt2", "gemma2", "arcee", "mixtral"})
    EXPECT_EQ(std::ranges::find(fitting.families, family), fitting.families.end()) << family;

  const Families as_llama = Families::built_in().with_unknown_as("llama");
  const Model model = Model::open(folder.path(), as_llama);
  EXPECT_EQ(model.architecture().family, "llama");
  EXPECT_TRUE(model.settings().is_taken_for_family());
  EXPECT_EQ(model.notes().back(), "taken for a llama");
  expect_error(ErrorKind::unsupported, "no description", [&] { (void)Model::open(folder.path()); });
  const Families as_qwen3 = Families::built_in().with_unknown_as("qwen3");
  expect_error(ErrorKind::not_found, "q_norm", [&] { (void)Model::open(folder.path(), as_qwen3); });
  expect_error(ErrorKind::invalid_argument, "--family: must be one of",
               [] { (void)Families::built_in().with_unknown_as("unheard_of"); });
  expect_error(ErrorKind::invalid_argument, "families that can be run",
               [] { (void)testing::with_family_not_run().with_unknown_as("made_up"); });

  edit_config(folder.path(), [](nlohmann::ordered_json& config) {
    config["logits_scaling"] = 4.0;
    config["residual_multiplier"] = 1.0;
    config["layer_types"] = {"full_attention", "full_attention"};
    config["attention_multiplier"] = nullptr;
    config["of_no_family"] = 3;
  });
  EXPECT_EQ(Model::open(folder.path(), as_llama).settings().keys_of_other_families(),
            (std::vector<std::string>{"logits_scaling"}));
  edit_config(folder.path(), [](nlohmann::ordered_json& config) { config.erase("model_type"); });
  EXPECT_EQ(Model::open(folder.path(), as_llama).architecture().family, "llama");
}

TEST(Model, AnUnknownTypeMustHaveNothingElse) {
  const TemporaryFolder folder;
  write_unknown(folder, {.family = "qwen2", .biases = true, .mlp_size = 8});
  const Families as_llama = Families::built_in().with_unknown_as("llama");
  expect_error(ErrorKind::unsupported, "must have the tensors of one, no others; found model.layers.0.self_attn.",
               [&] { (void)Model::open(folder.path(), as_llama); });
}

TEST(Model, AnUnknownTypeThatNoFamilyFitsIsNearOne) {
  const auto nearest = [](const TemporaryFolder& folder) {
    const Model::FittingFamilies fitting = Model::families_that_fit(folder.path());
    EXPECT_TRUE(fitting.families.empty());
    EXPECT_EQ(fitting.model_type, fitting.nearest.empty() ? "" : "of_its_own");
    return fitting.nearest + ": " + fitting.difference;
  };
  const TemporaryFolder more;
  write_unknown(more, {.mlp_size = 8});
  edit_tensors(more.path(), [](std::vector<EditedTensor>& tensors) {
    for (const char* name : {"model.layers.0.gate.weight", "model.layers.1.gate.weight"})
      tensors.push_back({{name, Dtype::f32, {1}}, std::vector<std::byte>(4)});
  });
  EXPECT_EQ(nearest(more), "llama: 2 tensors more (model.layers.0.gate.weight, model.layers.1.gate.weight)");

  const TemporaryFolder other;
  write_unknown(other, {.family = "qwen3", .mlp_size = 8});
  edit_tensors(other.path(), [](std::vector<EditedTensor>& tensors) {
    std::erase_if(tensors, [](const EditedTensor& tensor) { return tensor.spec.name == "model.norm.weight"; });
    for (EditedTensor& tensor : tensors) {
      if (tensor.spec.name != "model.layers.1.self_attn.q_norm.weight") continue;
      tensor.spec.shape = {1};
      tensor.bytes.resize(4);
    }
  });
  EXPECT_EQ(nearest(other),
            "qwen3: 1 tensor missing (model.norm.weight), 1 of another shape (model.layers.1.self_attn.q_norm.weight)");

  edit_tensors(other.path(), [](std::vector<EditedTensor>& tensors) {
    for (EditedTensor& tensor : tensors) tensor.spec.name += ".of_another_kind";
  });
  EXPECT_EQ(nearest(other), ": ");

  const TemporaryFolder less;
  write_unknown(less, {.mlp_size = 8});
  edit_tensors(less.path(), [](std::vector<EditedTensor>& tensors) { tensors.pop_back(); });
  EXPECT_TRUE(nearest(less).starts_with("llama: 1 tensor missing")) << nearest(less);
  edit_config(less.path(), [](nlohmann::ordered_json& config) { config["num_kv_shared_layers"] = 1; });
  EXPECT_EQ(nearest(less), ": ");  // config.json says more
}

TEST(Model, AKnownTypeStaysWhatItIs) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {.family = "qwen3", .mlp_size = 8});
  const Families as_llama = Families::built_in().with_unknown_as("llama");
  const Model model = Model::open(folder.path(), as_llama);
  EXPECT_EQ(model.architecture().family, "qwen3");
  EXPECT_FALSE(model.settings().is_taken_for_family());
  EXPECT_TRUE(Model::families_that_fit(folder.path()).families.empty());
}

TEST(Model, ALayerCountThatLiesCostsNoMemory) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {});
  edit_config(folder.path(), [](auto& config) { config["num_hidden_layers"] = 16'000'000; });
  expect_error(ErrorKind::corrupt, "no more layers than the checkpoint has tensors",
               [&] { (void)Model::open(folder.path()); });
}

TEST(Model, InterleavedProjectionPointsAtTheRightRows) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {.family = "gpt_neox"});
  const Model model = Model::open(folder.path());
  const TensorView& fused = model.checkpoint().at("gpt_neox.layers.0.attention.query_key_value.weight");
  const std::size_t head = 3 * 12 * 4;
  std::vector<std::byte> buffer;
  EXPECT_EQ(model.layers()[0].key[2].weight.bytes(buffer).data(), fused.stored.data() + (2 * 3 + 1) * head);
  EXPECT_EQ(model.layers()[0].value[3].weight.bytes(buffer).data(), fused.stored.data() + (3 * 3 + 2) * head);
}

TEST(Model, FingerprintTellsTrainingsApart) {
  const TemporaryFolder a, b, c;
  write_pico_model(a.path(), {.seed = 1});
  write_pico_model(b.path(), {.seed = 1});
  write_pico_model(c.path(), {.seed = 2});
  EXPECT_EQ(Model::open(a.path()).fingerprint(), Model::open(b.path()).fingerprint());
  EXPECT_NE(Model::open(a.path()).fingerprint(), Model::open(c.path()).fingerprint());
}

TEST(Model, MissingFolderIsNotFound) {
  expect_error(ErrorKind::not_found, "a model is a folder", [] { (void)Model::open("/no/such/model"); });
}

TEST(Model, FileInsteadOfFolderIsInvalid) {
  const TemporaryFolder folder;
  const auto file = folder.write("x.safetensors", "");
  expect_error(ErrorKind::invalid_argument, "found another file", [&] { (void)Model::open(file); });
}

TEST(Model, ConfigMustBeThere) {
  const TemporaryFolder folder;
  expect_error(ErrorKind::not_found, "config.json", [&] { (void)Model::open(folder.path()); });
}

TEST(Model, ConfigMustBeJson) {
  const TemporaryFolder folder;
  folder.write("config.json", "{\"model_type\": ");
  expect_error(ErrorKind::corrupt, "must be valid JSON", [&] { (void)Model::open(folder.path()); });
}

TEST(Model, ConfigMustBeAnObject) {
  const TemporaryFolder folder;
  folder.write("config.json", "[]");
  expect_error(ErrorKind::corrupt, "must be a JSON object", [&] { (void)Model::open(folder.path()); });
}

TEST(Model, HeadCountMustBePositive) {
  expect_config_error(ErrorKind::corrupt, "positive integer", "num_attention_heads", 0);
}
TEST(Model, HeadCountMustBeAnInteger) {
  expect_config_error(ErrorKind::corrupt, "positive integer", "num_attention_heads", 4.5);
}
TEST(Model, AbsurdLayerCountIsRefused) {
  expect_config_error(ErrorKind::corrupt, "positive integer", "num_hidden_layers", std::int64_t{1} << 62);
}
TEST(Model, KvHeadsMustDivideQueryHeads) {
  expect_config_error(ErrorKind::corrupt, "must divide", "num_key_value_heads", 3);
}
TEST(Model, KeyLeftOutHasTheDefaultOfTheClass) {
  expect_config_error(ErrorKind::corrupt, "shape must be [5, 4096]", "hidden_size",
                      nlohmann::json(nlohmann::json::value_t::discarded));
}
TEST(Model, NullThatTheClassRefusesIsRefused) {
  expect_config_error(ErrorKind::corrupt, "\"hidden_size\" must be a positive integer; found null. Remove the key",
                      "hidden_size", nullptr);
}
TEST(Model, FewerLayersThanConfigSaysAreCounted) {
  expect_config_error(ErrorKind::not_found, "must hold the 3 layers that config.json states; found 2 layers",
                      "num_hidden_layers", 3);
}
TEST(Model, VocabularyMustFollowConfig) {
  expect_config_error(ErrorKind::corrupt, "shape must be [6, 12]", "vocab_size", 6);
}
TEST(Model, ShapeMustFollowConfig) { expect_config_error(ErrorKind::corrupt, "shape must be [16, 12]", "head_dim", 4); }
TEST(Model, TooManyKvHeadsAreUnsupported) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {});
  edit_config(folder.path(), [](auto& config) { config["num_attention_heads"] = config["num_key_value_heads"] = 512; });
  expect_error(ErrorKind::unsupported, "at most 256", [&] { (void)Model::open(folder.path()); });
}

TEST(Model, AbsentKvHeadCountMeansOnePerQueryHead) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {});
  auto config = nlohmann::ordered_json::parse(std::ifstream(folder / "config.json"));
  config.erase("num_key_value_heads");
  config["head_dim"] = nullptr;
  folder.write("config.json", config.dump());
  EXPECT_EQ(Model::open(folder.path()).layers()[0].kv_heads, 4);
}

TEST(Model, QuantisedAttentionIsUnsupported) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {});
  // The same header with F32 turned into I32 everywhere is a valid safetensors file of integers.
  std::ifstream in(folder / "model.safetensors", std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), {});
  for (std::size_t at = bytes.find("F32"); at != std::string::npos; at = bytes.find("F32", at))
    bytes.replace(at, 3, "I32");
  folder.write("model.safetensors", bytes);
  expect_error(ErrorKind::unsupported, "attention weights must be F16, BF16, F32 or F64",
               [&] { (void)Model::open(folder.path()); });
}

}  // namespace
}  // namespace qcqa
