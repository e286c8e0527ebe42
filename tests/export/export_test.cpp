#include "qcqa/export/export.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "export/plan_of.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

Model converted(const Model& model, const Plan& plan, Layout layout, const std::filesystem::path& target) {
  (void)export_model(model, plan, {.layout = layout}, target, Overwrite::refuse);
  return Model::open(target);
}

void expect_close(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], tolerance) << "element " << i;
}

std::vector<std::string> grouped_families() {
  std::vector<std::string> families;
  for (const Architecture& architecture : supported_architectures()) {
    if (!architecture.kv_heads.key.empty()) families.push_back(architecture.family);
  }
  return families;
}

TEST(Export, IdentityGivesTheSameBytes) {
  for (const Architecture& architecture : supported_architectures()) {
    for (const Layout layout : {Layout::gqa, Layout::expanded}) {
      SCOPED_TRACE(architecture.family);
      const TemporaryFolder folder;
      write_pico_model(folder / "in", {.family = architecture.family, .biases = true, .dtype = Dtype::bf16});
      const Model model = Model::open(folder / "in");
      const Model out = converted(model, plan_of({{0, 1, 2, 3}, {0, 1, 2, 3}}), layout, folder / "out");
      for (const TensorView& tensor : model.checkpoint().tensors()) {
        const TensorView& other = out.checkpoint().at(tensor.name);
        EXPECT_EQ(other.shape, tensor.shape) << tensor.name;
        EXPECT_TRUE(std::ranges::equal(other.stored, tensor.stored)) << tensor.name;
      }
    }
  }
}

TEST(Export, GqaAndExpandedComputeTheSame) {
  for (const std::string& family : grouped_families()) {
    for (const int kv_heads : {6, 3}) {  // MHA and GQA inputs
      SCOPED_TRACE(family + " with " + std::to_string(kv_heads) + " KV heads");
      const TemporaryFolder folder;
      write_pico_model(folder / "in", {.family = family,
                                       .query_heads = 6,
                                       .kv_heads = kv_heads,
                                       .head_dim = 2,
                                       .biases = true,
                                       .dtype = Dtype::f64});
      const Model model = Model::open(folder / "in");
      const Plan plan =
          kv_heads == 6 ? plan_of({{0, 1, 1, 0, 2, 2}, {0, 1, 2, 2, 1, 0}}) : plan_of({{0, 0, 0}, {0, 0, 0}});
      const Model gqa = converted(model, plan, Layout::gqa, folder / "gqa");
      const Model expanded = converted(model, plan, Layout::expanded, folder / "expanded");
      EXPECT_EQ(gqa.layers()[0].kv_heads, kv_heads == 6 ? 3 : 1);
      EXPECT_EQ(expanded.layers()[0].kv_heads, kv_heads);
      for (std::size_t layer = 0; layer < 2; ++layer) {
        expect_close(attention_output(gqa.layers()[layer], 5, 3), attention_output(expanded.layers()[layer], 5, 3),
                     1e-12);
      }
    }
  }
}

TEST(Export, MergedRowsAreTheMeans) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {.biases = true, .dtype = Dtype::f64});
  const Model model = Model::open(folder / "in");
  const Model out = converted(model, plan_of({{0, 1, 1, 0}, {0, 0, 1, 1}}), Layout::gqa, folder / "out");
  for (const char* name : {"model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.k_proj.bias"}) {
    const auto before = values_of(model.checkpoint().at(name));
    const auto after = values_of(out.checkpoint().at(name));
    const std::size_t head = before.size() / 4;
    ASSERT_EQ(after.size(), 2 * head);
    for (std::size_t i = 0; i < head; ++i) {
      EXPECT_DOUBLE_EQ(after[i], (before[i] + before[3 * head + i]) / 2);
      EXPECT_DOUBLE_EQ(after[head + i], (before[head + i] + before[2 * head + i]) / 2);
    }
  }
}

TEST(Export, MergingIdenticalHeadsLosesNothing) {
  for (const char* family : {"llama", "phi3"}) {
    const TemporaryFolder folder;
    // Heads 0 and 2, 1 and 3 are equal in K and V: rows of 3 x 12 elements, keys and values after 4 query heads.
    std::vector<double> seen(36 * 12);
    write_pico_model(
        folder / "in",
        {.family = family, .adjust = [&](const std::string& name, std::size_t i, double value) {
           const bool fused = name.find("qkv_proj") != std::string::npos;
           if (!fused && name.find("k_proj") == std::string::npos && name.find("v_proj") == std::string::npos)
             return value;
           const std::size_t head = i / 36;
           if (fused && head < 4) return value;
           if (head % 4 < 2) return seen[i] = value;
           return seen[i - 72];
         }});
    const Model model = Model::open(folder / "in");
    const Model out = converted(model, plan_of({{0, 1, 0, 1}, {0, 1, 0, 1}}), Layout::gqa, folder / "out");
    for (std::size_t layer = 0; layer < 2; ++layer) {
      expect_close(attention_output(out.layers()[layer], 4, 1), attention_output(model.layers()[layer], 4, 1), 1e-12);
    }
  }
}

TEST(Export, TensorsOutsideAttentionAreByteIdentical) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {});
  const Model model = Model::open(folder / "in");
  const Model out = converted(model, plan_of({{0, 1, 0, 1}, {0, 1, 0, 1}}), Layout::gqa, folder / "out");
  for (const char* name : {"model.embed_tokens.weight", "counter"}) {
    EXPECT_TRUE(std::ranges::equal(out.checkpoint().at(name).stored, model.checkpoint().at(name).stored)) << name;
  }
}

TEST(Export, FolderIsComplete) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {});
  (void)export_model(Model::open(folder / "in"), plan_of({{0, 1, 0, 1}, {0, 1, 0, 1}}),
                     {.command = "qcqa test", .report = "{}"}, folder / "out", Overwrite::refuse);
  std::map<std::string, std::string> files;
  for (auto& [name, content] : folder_contents(folder / "out")) files[name] = content;
  EXPECT_EQ(files.size(), 5U);
  EXPECT_EQ(files["tokenizer.json"], "{\"pico\": true}");
  EXPECT_EQ(files["qcqa-report.json"], "{}");
  EXPECT_NE(files["README.md"].find("qcqa test"), std::string::npos);
  EXPECT_EQ(nlohmann::json::parse(files["config.json"])["num_key_value_heads"], 2);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2)
      << "a staging folder was left behind";
}

TEST(Export, CopiesAdditionalChatTemplates) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {});
  std::filesystem::create_directory(folder / "in/additional_chat_templates");
  folder.write("in/additional_chat_templates/tool_use.jinja", "TOOL");
  (void)export_model(Model::open(folder / "in"), plan_of({{0, 1, 0, 1}, {0, 1, 0, 1}}), {}, folder / "out",
                     Overwrite::refuse);
  std::map<std::string, std::string> files;
  for (auto& [name, content] : folder_contents(folder / "out")) files[name] = content;
  EXPECT_EQ(files["additional_chat_templates/tool_use.jinja"], "TOOL");
}

TEST(Export, ConvertsTheTypeOfEveryFloatTensor) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {.dtype = Dtype::f32});
  (void)export_model(Model::open(folder / "in"), plan_of({{0, 0, 1, 1}, {0, 1, 0, 1}}), {.dtype = Dtype::bf16},
                     folder / "out", Overwrite::refuse);
  const Model out = Model::open(folder / "out");
  for (const TensorView& tensor : out.checkpoint().tensors()) {
    EXPECT_EQ(tensor.dtype, tensor.name == "counter" ? Dtype::i64 : Dtype::bf16) << tensor.name;
  }
  EXPECT_EQ(out.config()["torch_dtype"], "bfloat16");
}

TEST(Export, ShardsAtTheAskedSize) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {});
  const auto summary = export_model(Model::open(folder / "in"), plan_of({{0, 1, 0, 1}, {0, 1, 0, 1}}),
                                    {.writer = {.max_shard_bytes = 1000}}, folder / "out", Overwrite::refuse);
  EXPECT_GT(summary.shards, 2);
  EXPECT_TRUE(std::filesystem::exists(folder / "out/model.safetensors.index.json"));
  EXPECT_EQ(Model::open(folder / "out").layers().size(), 2U);
}

TEST(Export, PreviewAgreesWithWhatIsWritten) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {});
  const Model model = Model::open(folder / "in");
  const Plan plan = plan_of({{0, 1, 0, 1}, {0, 1, 0, 1}});
  const ExportSummary preview = preview_export(model, plan, {});
  const ExportSummary written = export_model(model, plan, {}, folder / "out", Overwrite::refuse);
  EXPECT_EQ(preview.tensor_bytes_after, Model::open(folder / "out").checkpoint().total_bytes());
  EXPECT_EQ(preview.file_bytes, written.file_bytes);
  EXPECT_EQ(preview.kv_bytes_per_token_after, Model::open(folder / "out").kv_bytes_per_token());
}

TEST(Export, SeveralGroupCountsNameTheLayersInTheWay) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {});
  const Model model = Model::open(folder / "in");
  expect_error(ErrorKind::unsupported, "another group count than layer 0 in layers 1", [&] {
    (void)preview_export(model, plan_of({{0, 0, 1, 1}, {0, 0, 0, 0}}), {});
  });
}

/// Some runtimes ignore head_dim, and a norm over the whole projection sees the zeros.
bool can_be_padded(const Architecture& architecture) {
  return architecture.family != "phi" && architecture.family != "starcoder2" && !architecture.head_dim.key.empty() &&
         architecture.attention.head_norm.scope != HeadNormScope::projection;
}

TEST(Export, UnequalGroupsArePaddedAndComputeTheSame) {
  for (const std::string& family : grouped_families()) {
    if (!can_be_padded(architecture_of(family))) continue;
    for (const int kv_heads : {6, 3}) {
      SCOPED_TRACE(family + " with " + std::to_string(kv_heads) + " KV heads");
      const TemporaryFolder folder;
      write_pico_model(folder / "in", {.family = family,
                                       .query_heads = 6,
                                       .kv_heads = kv_heads,
                                       .head_dim = 2,
                                       .biases = family == "qwen2",
                                       .dtype = Dtype::f64});
      const Model model = Model::open(folder / "in");
      const Plan plan =
          kv_heads == 6 ? plan_of({{0, 1, 1, 1, 0, 1}, {0, 1, 1, 0, 1, 0}}) : plan_of({{0, 1, 0}, {0, 1, 1}});
      const Model gqa = converted(model, plan, Layout::gqa, folder / "gqa");
      const Model expanded = converted(model, plan, Layout::expanded, folder / "expanded");
      EXPECT_EQ(gqa.layers()[0].kv_heads, 2);
      EXPECT_GE(gqa.layers()[0].query_heads, 8);
      EXPECT_EQ(gqa.layers()[0].head_dim, 2);
      for (std::size_t layer = 0; layer < 2; ++layer) {
        expect_close(attention_output(gqa.layers()[layer], 5, 3), attention_output(expanded.layers()[layer], 5, 3),
                     1e-12);
      }
    }
  }
}

TEST(Export, PaddingIsCountedAndCostsNoKvCache) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {.family = "mistral"});
  const Model model = Model::open(folder / "in");
  const Plan plan = plan_of({{0, 1, 1, 1}, {0, 0, 1, 1}});
  const ExportSummary summary = export_model(model, plan, {}, folder / "out", Overwrite::refuse);
  const Model out = Model::open(folder / "out");
  EXPECT_EQ(out.layers()[1].query_heads, 6);  // two groups of the largest size, three
  EXPECT_EQ(summary.query_heads_before, 8);
  EXPECT_EQ(summary.query_heads_after, 12);
  EXPECT_EQ(summary.kv_bytes_per_token_after * 2, summary.kv_bytes_per_token_before);
  // Two heads of Q and O in each of two layers.
  EXPECT_EQ(summary.padding_parameters, 2 * 2 * 2 * 3 * 12);
  EXPECT_NE(padding_note(summary, model.parameter_count()).find("12 query heads instead of 8"), std::string::npos);
}

TEST(Export, QwenIsWrittenAsLlamaWhenPadded) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {.family = "qwen2", .biases = true});
  const Model out =
      converted(Model::open(folder / "in"), plan_of({{0, 1, 1, 1}, {0, 0, 1, 1}}), Layout::gqa, folder / "out");
  EXPECT_EQ(out.config()["model_type"], "llama");
  EXPECT_EQ(out.config()["attention_bias"], true);
  for (const double value : values_of(out.checkpoint().at("model.layers.1.self_attn.o_proj.bias"))) EXPECT_EQ(value, 0);
}

TEST(Export, ClassesThatIgnoreHeadDimRefusePadding) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {.family = "stablelm"});
  expect_error(ErrorKind::unsupported, "needs a class that reads head_dim", [&] {
    (void)preview_export(Model::open(folder / "in"), plan_of({{0, 1, 1, 1}, {0, 0, 1, 1}}), {});
  });
}

TEST(Export, FamilyWithoutKvHeadSettingSaysSo) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {.family = "gpt_neox"});
  const Model model = Model::open(folder / "in");
  expect_error(ErrorKind::unsupported, "gpt_neox model class must have a setting", [&] {
    (void)preview_export(model, plan_of({{0, 0, 1, 1}, {0, 0, 1, 1}}), {});
  });
}

TEST(Export, PlanOfAnotherShapeIsRefused) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {});
  expect_error(ErrorKind::invalid_argument, "one label per KV head", [&] {
    (void)preview_export(Model::open(folder / "in"), plan_of({{0, 0, 1, 1}}), {});
  });
}

TEST(Export, NeverInPlace) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {});
  const auto before = folder_contents(folder.path());
  const Model model = Model::open(folder / "in");
  const Plan plan = plan_of({{0, 0, 1, 1}, {0, 0, 1, 1}});
  for (const auto& target : {folder / "in", folder / "in/../in/", folder.path()}) {
    expect_error(ErrorKind::invalid_argument, "must not be (or contain) the model's own folder",
                 [&] { (void)export_model(model, plan, {}, target, Overwrite::replace); });
  }
  EXPECT_EQ(folder_contents(folder.path()), before);
}

TEST(Export, StoppingLeavesNothingBehind) {
  const TemporaryFolder folder;
  write_pico_model(folder / "in", {});
  const auto before = folder_contents(folder.path());
  int reports = 0;
  expect_error(ErrorKind::interrupted, "nothing was written", [&] {
    (void)export_model(Model::open(folder / "in"), plan_of({{0, 0, 1, 1}, {0, 0, 1, 1}}), {}, folder / "out",
                       Overwrite::refuse, [&](const ProgressEvent&) { return ++reports < 3; });
  });
  EXPECT_EQ(folder_contents(folder.path()), before);
}

}  // namespace
}  // namespace qcqa
