#include <gtest/gtest.h>

#include <algorithm>

#include "qcqa/model/model.hpp"
#include "support/edited_model.hpp"
#include "support/expect_error.hpp"
#include "support/made_up_family.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// A pico model whose tensors were changed before it is opened.
class EditedModel : public ::testing::Test {
 protected:
  void write(const PicoModel& pico = {}) {
    std::filesystem::remove(folder_ / "model.safetensors");
    write_pico_model(folder_.path(), pico);
  }
  void rename(const std::function<std::string(const std::string&)>& name_of) {
    edit_tensors(folder_.path(), [&](std::vector<EditedTensor>& tensors) {
      for (EditedTensor& tensor : tensors) tensor.spec.name = name_of(tensor.spec.name);
    });
  }
  void remove(const std::string& part) {
    edit_tensors(folder_.path(), [&](std::vector<EditedTensor>& tensors) {
      std::erase_if(tensors,
                    [&](const EditedTensor& tensor) { return tensor.spec.name.find(part) != std::string::npos; });
    });
  }
  void edit(const std::function<void(nlohmann::ordered_json&)>& change) { edit_config(folder_.path(), change); }

  [[nodiscard]] Model open() const { return Model::open(folder_.path()); }
  [[nodiscard]] std::vector<std::string> names() const {
    const Model model = open();
    std::vector<std::string> names;
    for (const TensorView& view : model.checkpoint().tensors()) names.push_back(view.name);
    return names;
  }
  [[nodiscard]] std::string notes() const {
    std::string text;
    const Model model = open();
    for (const std::string& note : model.notes()) text += note + "\n";
    return text;
  }
  void expect_refusal(ErrorKind kind, std::string_view part) const {
    expect_error(kind, part, [&] { (void)open(); });
  }

  TemporaryFolder folder_;
};
using ModelNames = EditedModel;
using ModelCompleteness = EditedModel;
using ModelBiases = EditedModel;

TEST_F(ModelNames, WholeModelHasNoNotes) {
  write();
  EXPECT_EQ(notes(), "");
}

TEST_F(ModelNames, BaseClassWeightsGetThePrefix) {
  for (const char* family : {"llama", "gpt_neox"}) {
    SCOPED_TRACE(family);
    write({.family = family});
    const auto whole = names();
    const std::string base = architecture_of(family).base_prefix;
    rename([&](const std::string& name) { return name.starts_with(base) ? name.substr(base.size()) : name; });
    EXPECT_EQ(names(), whole);
    EXPECT_NE(notes().find("base class: \"" + base + "\""), std::string::npos) << notes();
  }
}

TEST_F(ModelNames, BaseClassPrefixIsTakenOffTheHead) {
  write();
  const auto whole = names();
  rename([](const std::string& name) { return name == "lm_head.weight" ? "model." + name : name; });
  EXPECT_EQ(names(), whole);
}

TEST_F(ModelNames, WrappersAreTakenOff) {
  write();
  const auto whole = names();
  for (const char* wrapper : {"module.", "_orig_mod.", "base_model.model.", "_fsdp_wrapped_module."}) {
    SCOPED_TRACE(wrapper);
    rename([&](const std::string& name) { return wrapper + name; });
    EXPECT_EQ(names(), whole);
    EXPECT_NE(notes().find("without \"" + std::string(wrapper) + "\""), std::string::npos) << notes();
    write();
  }
}

TEST_F(ModelNames, WrappersMayNestAndStandInside) {
  write();
  const auto whole = names();
  rename([](std::string name) {
    if (name.starts_with("model.")) name.insert(6, "_orig_mod.");
    return "module._orig_mod." + name;
  });
  EXPECT_EQ(names(), whole);
}

TEST_F(ModelNames, TwoTensorsForOneAreRefused) {
  write();
  edit_tensors(folder_.path(), [](std::vector<EditedTensor>& tensors) {
    EditedTensor copy =
        *std::ranges::find(tensors, "model.norm.weight", [](const EditedTensor& t) { return t.spec.name; });
    copy.spec.name = "module.model.norm.weight";
    tensors.push_back(copy);
  });
  expect_refusal(ErrorKind::corrupt, "one tensor must stand for \"model.norm.weight\"");
}

TEST_F(ModelNames, UnmergedAdaptersAreRefused) {
  write();
  rename([](const std::string& name) {
    return name == "counter" ? "model.layers.0.self_attn.q_proj.lora_A.default.weight" : name;
  });
  expect_refusal(ErrorKind::unsupported, "all adapters merged");
}

TEST_F(ModelNames, HeadInThePlaceOfTheTiedEmbeddingIsTheEmbedding) {
  write();
  remove("model.embed_tokens");
  edit([](auto& config) { config["tie_word_embeddings"] = true; });
  EXPECT_NE(open().checkpoint().find("model.embed_tokens.weight"), nullptr);
  EXPECT_EQ(open().checkpoint().find("lm_head.weight"), nullptr);
  EXPECT_NE(notes().find("the embedding is stored as \"lm_head.weight\""), std::string::npos);
}

TEST_F(ModelNames, NewNameOfNeoxHeadIsRead) {
  write({.family = "gpt_neox"});
  const auto whole = names();
  rename([](const std::string& name) { return name == "embed_out.weight" ? "lm_head.weight" : name; });
  EXPECT_EQ(names(), whole);
}

TEST_F(ModelBiases, StoredButNotDeclaredAreLeftOut) {
  write({.biases = true});
  edit([](auto& config) { config["attention_bias"] = false; });
  const Model model = open();
  for (const TensorView& view : model.checkpoint().tensors()) EXPECT_FALSE(view.name.ends_with(".bias")) << view.name;
  EXPECT_TRUE(model.layers().front().query.front().bias.empty());
  EXPECT_NE(notes().find("8 stored bias(es) left out"), std::string::npos) << notes();
  EXPECT_NE(notes().find("model.layers.0.self_attn.k_proj.bias"), std::string::npos) << notes();
}

TEST_F(ModelBiases, DeclaredButMissingAreMissing) {
  write();
  edit([](auto& config) { config["mlp_bias"] = true; });
  expect_refusal(ErrorKind::not_found,
                 "6 missing: model.layers.0.mlp.gate_proj.bias, model.layers.0.mlp.up_proj.bias and 4 more");
}

TEST_F(ModelCompleteness, MissingTensorsAreNamedAndCounted) {
  write();
  remove("layers.1.mlp.up_proj");
  expect_refusal(
      ErrorKind::not_found,
      "every tensor that LlamaForCausalLM needs by config.json; found 1 missing: model.layers.1.mlp.up_proj.weight");
}

TEST_F(ModelCompleteness, HeadIsNeededWhereTheFolderHoldsACausalModel) {
  write();
  remove("lm_head");
  expect_refusal(ErrorKind::not_found, "1 missing: lm_head.weight");
  edit([](auto& config) { config["architectures"] = {"LlamaForSequenceClassification"}; });
  EXPECT_NO_THROW((void)open());
}

TEST_F(ModelCompleteness, LayersOfUndescribedFamiliesMustHoldTheSame) {
  const Families& families = with_family_not_run();
  const auto open = [&] { return Model::open(folder_.path(), families); };
  const auto expect_refusal = [&](ErrorKind kind, std::string_view part) {
    expect_error(kind, part, [&] { (void)open(); });
  };
  const auto add = [&](int layers, std::int64_t rows) {
    write({.family = "made_up", .families = &families});
    edit_tensors(folder_.path(), [&](std::vector<EditedTensor>& tensors) {
      for (int layer = 0; layer < layers; ++layer) {
        const std::int64_t own = layer == 0 ? 2 : rows;
        tensors.push_back({{"base.blocks." + std::to_string(layer) + ".gate.weight", Dtype::f32, {own}},
                           std::vector<std::byte>(static_cast<std::size_t>(own) * 4)});
      }
    });
  };
  add(2, 2);
  EXPECT_NO_THROW((void)open());
  add(1, 2);
  expect_refusal(ErrorKind::not_found, "1 missing: base.blocks.1.gate.weight");
  add(2, 3);
  expect_refusal(ErrorKind::corrupt, "shape must be [2] by base.blocks.0.gate.weight; found [3]");
}

}  // namespace
}  // namespace qcqa
