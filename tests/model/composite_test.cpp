#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "qcqa/export/export.hpp"
#include "qcqa/model/output_head.hpp"
#include "support/edited_model.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

Families with_both(bool ties_by_default, bool or_inside) {
  nlohmann::json both = nlohmann::json::parse(R"({
    "family": "both", "model_types": ["both"], "model_class": "BothForConditionalGeneration",
    "text_config": "text_config", "text_family": "llama",
    "outside_flags": [{"key": "tie_word_embeddings"}],
    "names": [{"there": "language_model.", "here": ""},
              {"there": "model.language_model.", "here": "{base}"},
              {"there": "lm_head.", "here": "lm_head."}]})");
  both["outside_flags"][0]["default"] = ties_by_default;
  both["outside_flags"][0]["or_inside"] = or_inside;
  return Families::built_in().with(both.dump(), "both.json");
}

const Families& families() {
  static const Families kFamilies = with_both(false, false);
  return kFamilies;
}

/// A Llama in a folder of its own, and as the text model of a composite.
class CompositeModel : public ::testing::Test {
 protected:
  void SetUp() override {
    write_pico_model(folder_ / "text", {.head_dim = 4, .mlp_size = 8, .vocabulary = 20});
    write("language_model.model.", "language_model.lm_head.");
  }

  /// The composite, with the names of the text model's tensors beginning so.
  void write(const std::string& base, const std::string& head) {
    std::filesystem::remove_all(folder_ / "both");
    std::filesystem::copy(folder_ / "text", folder_ / "both");
    edit_tensors(folder_ / "both", [&](std::vector<EditedTensor>& tensors) {
      for (EditedTensor& tensor : tensors) {
        std::string& name = tensor.spec.name;
        if (name.starts_with("model.")) name.replace(0, 6, base);
        if (name.starts_with("lm_head.")) name.replace(0, 8, head);
      }
      tensors.push_back({{"vision_tower.layers.0.self_attn.q_proj.weight", Dtype::bf16, {3, 1}},
                         {std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}, std::byte{6}}});
    });
    edit_config(folder_ / "both", [](auto& config) {
      nlohmann::ordered_json text = config;
      text.erase("model_type");
      config = {{"model_type", "both"},
                {"architectures", {"BothForConditionalGeneration"}},
                {"torch_dtype", "float32"},
                {"text_config", text},
                {"vision_config", {{"hidden_size", 3}}}};
    });
  }
  [[nodiscard]] Model text() const { return Model::open(folder_ / "text"); }
  [[nodiscard]] Model both() const { return Model::open(folder_ / "both", families()); }
  void convert(Layout layout, std::optional<Dtype> dtype = {}) const {
    const Plan plan = Plan::of({2, Grouping::contiguous(4, 2)});
    (void)export_model(both(), plan, {.layout = layout, .dtype = dtype}, folder_ / "out", Overwrite::replace);
  }
  [[nodiscard]] nlohmann::ordered_json config_out() const {
    return nlohmann::ordered_json::parse(std::ifstream(folder_ / "out/config.json"));
  }

  TemporaryFolder folder_;
};

TEST_F(CompositeModel, IsReadAsItsTextModel) {
  const Model wanted = text();
  for (const auto& [base, head] :
       {std::pair("language_model.model.", "language_model.lm_head."), {"model.language_model.", "lm_head."}}) {
    SCOPED_TRACE(base);
    write(base, head);
    const Model found = both();
    EXPECT_EQ(found.architecture().family, "llama");
    for (const TensorView& tensor : wanted.checkpoint().tensors()) {
      if (tensor.name == "counter") continue;
      EXPECT_EQ(values_of(found.checkpoint().at(tensor.name)), values_of(tensor)) << tensor.name;
    }
    EXPECT_EQ(found.name_in_folder("model.norm.weight"), std::string(base) + "norm.weight");
    ASSERT_EQ(found.notes().size(), 1U);
    EXPECT_NE(found.notes()[0].find("the text model of a both"), std::string::npos);
  }
}

TEST_F(CompositeModel, IsWrittenAsItWasButForTheHeads) {
  for (const Layout layout : {Layout::gqa, Layout::expanded}) {
    convert(layout);
    const Checkpoint before = Checkpoint::open(folder_ / "both");
    const Checkpoint after = Checkpoint::open(folder_ / "out");
    ASSERT_EQ(after.tensors().size(), before.tensors().size());
    for (const TensorView& tensor : before.tensors()) {
      const bool heads =
          tensor.name.starts_with("language_model") &&
          (tensor.name.find("k_proj") != std::string::npos || tensor.name.find("v_proj") != std::string::npos);
      ASSERT_NE(after.find(tensor.name), nullptr) << tensor.name;
      EXPECT_EQ(std::ranges::equal(after.at(tensor.name).stored, tensor.stored), !heads) << tensor.name;
    }
    nlohmann::ordered_json wanted = both().settings().document();
    if (layout == Layout::gqa) wanted["text_config"]["num_key_value_heads"] = 2;
    wanted["text_config"]["model_type"] = "llama";
    EXPECT_EQ(config_out(), wanted);
    const Model out = Model::open(folder_ / "out", families());
    (void)export_model(text(), Plan::of({2, Grouping::contiguous(4, 2)}), {.layout = layout}, folder_ / "text-out",
                       Overwrite::replace);
    const Model alone = Model::open(folder_ / "text-out");
    EXPECT_EQ(attention_output(out.layers()[1], 5, 3), attention_output(alone.layers()[1], 5, 3));
  }
}

TEST_F(CompositeModel, TheTypeOfTheWeightsIsStatedInBothPlaces) {
  convert(Layout::gqa, Dtype::bf16);
  EXPECT_EQ(config_out()["torch_dtype"], "bfloat16");
  EXPECT_EQ(config_out()["text_config"]["torch_dtype"], "bfloat16");
}

TEST(Composite, AFlagOutsideHasItsOwnDefaultAndMayBeSetInside) {
  struct Case {
    bool by_default, or_inside;
    std::string wanted;  // outside absent, true, false; for each of them inside absent, true, false
  };
  for (const Case& c : {Case{false, false, "--- ttt ---"}, Case{true, false, "ttt ttt ---"},
                        Case{false, true, "-t- ttt -t-"}, Case{true, true, "ttt ttt -t-"}}) {
    const Families families = with_both(c.by_default, c.or_inside);
    std::string found;
    for (const char* outside : {"null", "true", "false"}) {
      if (!found.empty()) found += ' ';
      for (const char* inside : {"null", "true", "false"}) {
        nlohmann::ordered_json config = {{"model_type", "both"}, {"text_config", nlohmann::ordered_json::object()}};
        const auto set = [](nlohmann::ordered_json& part, const char* value) {
          if (const auto json = nlohmann::ordered_json::parse(value); !json.is_null())
            part["tie_word_embeddings"] = json;
        };
        set(config, outside);
        set(config["text_config"], inside);
        const ModelConfig read("config.json", config, families);
        found += read.value(read.architecture().head.tied) ? 't' : '-';
      }
    }
    EXPECT_EQ(found, c.wanted) << c.by_default << c.or_inside;
  }
}

TEST(Composite, AFlagOutsideNeedsItsDefault) {
  expect_error(ErrorKind::corrupt, "default", [] {
    (void)Families::built_in().with(R"({"family": "b", "model_types": ["b"], "model_class": "B", "text_config": "t",
                                        "outside_flags": [{"key": "k"}], "names": [{"there": "", "here": ""}]})",
                                    "b.json");
  });
}

TEST_F(CompositeModel, AHeadApartIsSaidWhereItCounts) {
  // It has other values than the embedding, to which the class would tie it.
  const Families ties = with_both(true, false);
  const Model model = Model::open(folder_ / "both", ties);
  ASSERT_FALSE(output_head(model).tied);
  (void)export_model(model, Plan::of({2, Grouping::contiguous(4, 2)}), {}, folder_ / "out", Overwrite::replace);
  EXPECT_EQ(config_out()["tie_word_embeddings"], false);
}

TEST_F(CompositeModel, SomeKeysCountOutsideOfTheTextConfig) {
  edit_tensors(folder_ / "both", [](std::vector<EditedTensor>& tensors) {
    std::erase_if(tensors, [](const EditedTensor& tensor) { return tensor.spec.name.ends_with("lm_head.weight"); });
  });
  expect_error(ErrorKind::not_found, "1 missing: lm_head.weight", [&] { (void)both(); });
  edit_config(folder_ / "both", [](auto& config) { config["tie_word_embeddings"] = true; });
  EXPECT_TRUE(output_head(both()).tied);
}

TEST_F(CompositeModel, ATextModelByItselfNeedsNoLayoutOfTheComposite) {
  expect_error(ErrorKind::unsupported, "the text model of a both",
               [&] { require_layout(both(), Layout::remote_code); });
  std::filesystem::remove(folder_ / "both/tokenizer.json");
  const ExportSummary summary = export_model(both(), Plan::of({2, Grouping::contiguous(4, 2)}),
                                             {.format = FileFormat::gguf}, folder_ / "gguf", Overwrite::refuse);
  EXPECT_TRUE(std::ranges::any_of(summary.notes, [](const std::string& note) {
    return note.find("the text model of the both by itself") != std::string::npos;
  }));
}

TEST_F(CompositeModel, NeedsAConfigOfItsTextModel) {
  edit_config(folder_ / "both", [](auto& config) { config.erase("text_config"); });
  expect_error(ErrorKind::corrupt, "must hold the config of its text model, \"text_config\"; found none",
               [&] { (void)both(); });
}

}  // namespace
}  // namespace qcqa
