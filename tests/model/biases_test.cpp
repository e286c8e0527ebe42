#include "model/biases.hpp"

#include <gtest/gtest.h>

namespace qcqa {
namespace {

using Keys = std::vector<std::pair<std::string, bool>>;

TEST(Biases, OneKeyMayStandForMoreThanWanted) {
  const BiasSettings llama = settings_for(architecture_of("llama"), {.projections = true});
  EXPECT_EQ(llama.keys, (Keys{{"attention_bias", true}, {"mlp_bias", false}}));
  EXPECT_EQ(llama.biases, (Biases{.projections = true, .output = true}));
}

TEST(Biases, WithoutAKeyAClassHasItsOwn) {
  const BiasSettings qwen2 = settings_for(architecture_of("qwen2"), {.mlp = true});
  EXPECT_TRUE(qwen2.keys.empty());
  EXPECT_EQ(qwen2.biases, (Biases{.projections = true}));
  EXPECT_EQ(settings_for(architecture_of("mistral"), {.output = true}).biases, Biases{});
}

TEST(Biases, AreThoseThatConfigStates) {
  const auto biases = [](const char* family, const char* key) {
    return biases_of(ModelConfig("config.json", {{"model_type", family}, {key, true}}));
  };
  EXPECT_EQ(biases("llama", "mlp_bias"), Biases{.mlp = true});
  EXPECT_EQ(biases("llama", "attention_bias"), (Biases{.projections = true, .output = true}));
  EXPECT_EQ(biases("mistral", "attention_bias"), Biases{}) << "another family's key";
}

}  // namespace
}  // namespace qcqa
