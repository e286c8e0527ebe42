#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "export/plan_of.hpp"
#include "qcqa/export/export.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;
using Shape = std::vector<std::int64_t>;

const Labels kUniform = {{0, 1, 0, 1}, {0, 0, 1, 1}}, kUnequal = {{0, 1, 1, 1}, {0, 0, 1, 1}},
             kPerLayer = {{0, 1, 1, 1}, {0, 0, 0, 0}}, kEqualPerLayer = {{0, 1, 2, 3}, {0, 1, 0, 1}},
             kThreeAndTwo = {{0, 1, 1, 2}, {0, 0, 0, 1}};

struct Source {
  explicit Source(std::string family = "llama", bool biases = false) {
    write_pico_model(folder / "in", {.family = std::move(family),
                                     .query_heads = 4,
                                     .kv_heads = 4,
                                     .head_dim = 4,
                                     .hidden_size = 16,
                                     .biases = biases,
                                     .dtype = Dtype::f64,
                                     .mlp_size = 24});
  }
  [[nodiscard]] Model model() const { return Model::open(folder / "in"); }
  ExportSummary write(const Labels& labels, Layout layout) const {
    return export_model(model(), plan_of(labels), {.layout = layout}, folder / "out", Overwrite::replace);
  }
  [[nodiscard]] nlohmann::json config() const {
    for (auto& [name, content] : folder_contents(folder / "out")) {
      if (name == "config.json") return nlohmann::json::parse(content);
    }
    return {};
  }
  [[nodiscard]] bool has(const char* file) const { return std::filesystem::exists(folder / "out" / file); }

  TemporaryFolder folder;
};

LayoutChoice choice(const Source& source, const Labels& labels, Target target) {
  return choose_layout(source.model(), plan_of(labels), target);
}

TEST(RemoteCode, IsReadBackWithItsHeadsPerLayerAndComputesTheSame) {
  for (const char* family : {"llama", "mistral", "qwen2", "gemma2"}) {
    SCOPED_TRACE(family);
    const Source source(family);
    (void)source.write(kPerLayer, Layout::remote_code);
    const Model out = Model::open(source.folder / "out");
    EXPECT_TRUE(out.has_heads_per_layer());
    EXPECT_EQ(out.layers()[0].kv_heads, 2);
    EXPECT_EQ(out.layers()[0].query_heads, 6);
    EXPECT_EQ(out.layers()[1].kv_heads, 1);
    EXPECT_EQ(out.layers()[1].query_heads, 4);
    (void)export_model(source.model(), plan_of(kPerLayer), {.layout = Layout::expanded}, source.folder / "expanded",
                       Overwrite::refuse);
    const Model expanded = Model::open(source.folder / "expanded");
    for (std::size_t layer = 0; layer < 2; ++layer) {
      const auto found = attention_output(out.layers()[layer], 5, 3);
      const auto wanted = attention_output(expanded.layers()[layer], 5, 3);
      ASSERT_EQ(found.size(), wanted.size());
      for (std::size_t i = 0; i < found.size(); ++i) ASSERT_NEAR(found[i], wanted[i], 1e-12);
    }
  }
}

TEST(RemoteCode, CarriesCodeForTheClass) {
  const Source source("qwen2");
  (void)source.write(kPerLayer, Layout::remote_code);
  std::string code;
  for (auto& [name, content] : folder_contents(source.folder / "out")) {
    if (name == "modeling_qcqa.py") code = content;
  }
  EXPECT_NE(code.find("from transformers import MODEL_MAPPING, Qwen2ForCausalLM"), std::string::npos);
  EXPECT_NE(code.find("self.base_model.layers"), std::string::npos);
  EXPECT_EQ(code.find('@'), std::string::npos) << "a placeholder is left";
  const auto config = source.config();
  EXPECT_EQ(config["model_type"], "qcqa_qwen2");
  EXPECT_EQ(config["auto_map"]["AutoModel"], "modeling_qcqa.QcqaModel");  // what vLLM builds
  EXPECT_FALSE(config.contains("logit_scale"));
}

TEST(RemoteCode, StatesTheScaleOfLogitsAsVllmReadsIt) {
  struct Case {
    const char* family;
    double scale;
  };
  for (const Case& entry : {Case{"granite", 0.125}, Case{"hyperclovax", 8}}) {
    SCOPED_TRACE(entry.family);
    const Source source(entry.family);
    nlohmann::json config = source.model().config();
    config["logits_scaling"] = 8;
    (void)source.folder.write("in/config.json", config.dump());
    (void)source.write(kPerLayer, Layout::remote_code);
    EXPECT_EQ(source.config()["logit_scale"], entry.scale);
    EXPECT_EQ(source.config()["logits_scaling"], 8);
  }
}

TEST(RemoteCode, IsNotConvertedAgain) {
  const Source source;
  (void)source.write(kPerLayer, Layout::remote_code);
  expect_error(ErrorKind::unsupported, "has been converted already", [&] {
    (void)preview_export(Model::open(source.folder / "out"), plan_of({{0, 1}, {0}}), {.layout = Layout::expanded});
  });
}

TEST(RemoteCode, HeadCountsOfAnotherNumberOfLayersAreCorrupt) {
  const Source source;
  (void)source.write(kPerLayer, Layout::remote_code);
  nlohmann::json config = source.config();
  config["kv_heads_per_layer"] = {2};
  (void)source.folder.write("out/config.json", config.dump());
  expect_error(ErrorKind::corrupt, "one positive number per layer", [&] { (void)Model::open(source.folder / "out"); });
}

TEST(RemoteCode, ClassesThatIgnoreHeadDimTakeEqualGroupsOnly) {
  const Source source("stablelm");
  EXPECT_NO_THROW((void)source.write(kEqualPerLayer, Layout::remote_code));
  expect_error(ErrorKind::unsupported, "needs a class that reads head_dim",
               [&] { (void)source.write(kPerLayer, Layout::remote_code); });
}

TEST(NemotronNas, OneNumberOfQueryHeadsSuitsAllLayers) {
  const Source source;
  const ExportSummary summary = source.write(kThreeAndTwo, Layout::nemotron_nas);
  const auto config = source.config();
  // 3 x 2 and 2 x 3 query heads; 6 is a multiple of both counts.
  EXPECT_EQ(config["num_attention_heads"], 6);
  EXPECT_EQ(config["block_configs"][0]["attention"]["n_heads_in_group"], 2);
  EXPECT_EQ(config["block_configs"][1]["attention"]["n_heads_in_group"], 3);
  // For vLLM alone, which takes any width.
  EXPECT_EQ(config["intermediate_size"], 24);
  EXPECT_EQ(config["block_configs"][0]["ffn"]["intermediate_size"], 24);
  EXPECT_FALSE(config["block_configs"][0]["ffn"].contains("ffn_mult"));
  const Checkpoint out = Checkpoint::open(source.folder / "out");
  EXPECT_EQ(out.at("model.layers.0.self_attn.q_proj.weight").shape, (Shape{24, 16}));
  EXPECT_EQ(out.at("model.layers.0.self_attn.k_proj.weight").shape, (Shape{12, 16}));
  EXPECT_EQ(out.at("model.layers.1.mlp.down_proj.weight").shape, (Shape{16, 24}));
  EXPECT_TRUE(source.has("configuration_decilm.py"));
  EXPECT_EQ(summary.padding_parameters, 2 * 2 * 2 * 4 * 16);  // of each layer: two heads of Q and O
}

TEST(NemotronNas, WidthThatMlxCanStateIsFilledUpWithZeros) {
  const Source source;
  const ExportSummary summary = source.write(kUniform, Layout::nemotron_nas);
  EXPECT_EQ(summary.padding_parameters, 2 * 3 * (256 - 24) * 16);  // of each layer: the MLP's rows and columns
  const auto config = source.config();
  EXPECT_EQ(config["intermediate_size"], 256);
  EXPECT_FALSE(config["block_configs"][0]["ffn"].contains("intermediate_size"));
  const double multiplier = config["block_configs"][0]["ffn"]["ffn_mult"];
  EXPECT_EQ((static_cast<int>(2 * multiplier * 16 / 3) + 255) / 256 * 256, 256);
  const auto before = values_of(source.model().checkpoint().at("model.layers.1.mlp.down_proj.weight"));
  const auto after = values_of(Checkpoint::open(source.folder / "out").at("model.layers.1.mlp.down_proj.weight"));
  for (std::size_t row = 0; row < 16; ++row) {
    for (std::size_t i = 0; i < 256; ++i) {
      ASSERT_EQ(after[row * 256 + i], i < 24 ? before[row * 24 + i] : 0) << row << ", " << i;
    }
  }
}

TEST(NemotronNas, CountsThatNoNumberSuitsAreRefused) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in",
                   {.layers = 3, .query_heads = 7, .kv_heads = 7, .head_dim = 2, .hidden_size = 14, .mlp_size = 8});
  const Model model = Model::open(folder / "in");
  const Plan plan = plan_of({{0, 1, 2, 3, 4, 5, 6}, {0, 1, 2, 3, 4, 4, 4}, {0, 1, 2, 2, 2, 2, 2}});
  expect_error(ErrorKind::unsupported, "multiple of every layer's group count",
               [&] { (void)preview_export(model, plan, {.layout = Layout::nemotron_nas}); });
  EXPECT_EQ(choose_layout(model, plan, Target::vllm).layout, Layout::remote_code);
}

TEST(OpenElm, HeadsPerLayerAndExactMlpWidth) {
  const Source source;
  (void)source.write(kPerLayer, Layout::openelm);
  const auto config = source.config();
  EXPECT_EQ(config["num_query_heads"], (std::vector<int>{6, 4}));
  EXPECT_EQ(config["num_kv_heads"], (std::vector<int>{2, 1}));
  EXPECT_EQ(std::lround(config["ffn_multipliers"][0].get<double>() * 16), 24);
  const Checkpoint out = Checkpoint::open(source.folder / "out");
  EXPECT_EQ(out.at("transformer.layers.0.attn.qkv_proj.weight").shape, (Shape{(6 + 2 + 2) * 4, 16}));
  const auto up = values_of(source.model().checkpoint().at("model.layers.0.mlp.up_proj.weight"));
  const auto both = values_of(out.at("transformer.layers.0.ffn.proj_1.weight"));
  ASSERT_EQ(both.size(), 2 * up.size());
  for (std::size_t i = 0; i < up.size(); ++i) ASSERT_EQ(both[up.size() + i], static_cast<float>(up[i]));
  expect_error(ErrorKind::unsupported, "biases",
               [&] { (void)Source("llama", true).write(kPerLayer, Layout::openelm); });
}

TEST(Targets, TakeTheLayoutThatHoldsThePlan) {
  const Source source("mistral");
  EXPECT_EQ(choice(source, kUniform, Target::transformers).layout, Layout::gqa);
  EXPECT_EQ(choice(source, kUnequal, Target::transformers).layout, Layout::gqa);
  EXPECT_EQ(choice(source, kPerLayer, Target::transformers).layout, Layout::remote_code);
  EXPECT_EQ(choice(source, kUnequal, Target::vllm).layout, Layout::gqa);
  EXPECT_EQ(choice(source, kEqualPerLayer, Target::vllm).layout, Layout::nemotron_nas);
  EXPECT_EQ(choice(source, kPerLayer, Target::vllm).layout, Layout::remote_code);
  EXPECT_EQ(choice(Source("gemma2"), kEqualPerLayer, Target::vllm).layout, Layout::remote_code);
  EXPECT_EQ(choice(Source("exaone"), kPerLayer, Target::vllm).layout, Layout::nemotron_nas);
  EXPECT_EQ(choice(source, kUniform, Target::mlx).layout, Layout::gqa);
  EXPECT_EQ(choice(source, kUnequal, Target::mlx).layout, Layout::openelm);
  EXPECT_EQ(choice(source, kPerLayer, Target::mlx).layout, Layout::openelm);
}

TEST(Targets, MlxTakesNemotronOnlyWithoutPadding) {
  const Source source("llama", true);
  EXPECT_EQ(choice(source, kEqualPerLayer, Target::mlx).layout, Layout::nemotron_nas);
  expect_error(ErrorKind::unsupported, "found padding", [&] { (void)choice(source, kPerLayer, Target::mlx); });
}

TEST(Targets, LimitsAreThoseOfTheModelAndTheRuntime) {
  EXPECT_EQ(limits_for(Source().model(), Target::transformers), PlanLimits{});
  EXPECT_EQ(limits_for(Source().model(), Target::vllm), PlanLimits{});
  EXPECT_EQ(limits_for(Source("exaone").model(), Target::vllm), (PlanLimits{.divisors = true}));
  EXPECT_EQ(limits_for(Source().model(), Target::mlx), PlanLimits{});
  EXPECT_EQ(limits_for(Source("llama", true).model(), Target::mlx),
            (PlanLimits{.equal_groups = true, .divisors = true}));
  for (const Target target : {Target::vllm, Target::transformers}) {
    EXPECT_EQ(limits_for(Source("gemma2").model(), target), PlanLimits{});
    EXPECT_EQ(limits_for(Source("stablelm").model(), target), (PlanLimits{.equal_groups = true}));
    EXPECT_EQ(limits_for(Source("olmo2").model(), target), (PlanLimits{.equal_groups = true}));
  }
  // Its class holds one count, but any plan can be cached.
  EXPECT_EQ(limits_for(Source("mixtral").model(), Target::vllm), PlanLimits::uniform());
  EXPECT_EQ(limits_for(Source("mixtral").model(), Target::transformers), PlanLimits{});
  EXPECT_EQ(limits_for(Source("minicpm").model(), Target::transformers), PlanLimits::uniform());
}

TEST(SharedCache, StatesTheGroupsAndCountsWhatIsCached) {
  const Source source("mixtral");
  const ExportSummary summary = source.write(kPerLayer, Layout::shared_cache);
  EXPECT_EQ(summary.heads_after, plan_of(kPerLayer).kv_heads());
  EXPECT_EQ(summary.kv_bytes_per_token_after * summary.heads_before,
            summary.kv_bytes_per_token_before * summary.heads_after);
  const Model out = Model::open(source.folder / "out");
  EXPECT_EQ(out.config().at(kKvHeadGroups), nlohmann::ordered_json(kPerLayer));
  EXPECT_EQ(out.config().at("model_type"), "mixtral");
  expect_error(ErrorKind::unsupported, "has been converted already",
               [&] { (void)preview_export(out, plan_of(kPerLayer), {.layout = Layout::expanded}); });
}

}  // namespace
}  // namespace qcqa
