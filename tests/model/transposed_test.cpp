#include <gtest/gtest.h>

#include <algorithm>

#include "model/transposed_view.hpp"
#include "qcqa/evaluate/evaluate.hpp"
#include "qcqa/export/export.hpp"
#include "support/edited_model.hpp"
#include "support/made_up_family.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// Queries, keys and values in one tensor with a bias, matrices as (inputs, outputs): GPT-2.
void fused_and_transposed(nlohmann::json& family) {
  family["transposed"] = true;
  family["attention"]["projections"] = {{{"tensor", "qkv"}, {"holds", {"query", "key", "value"}}, {"bias", true}}};
}

/// A model of such a family, and the same of one whose matrices are (outputs, inputs).
class Transposed : public ::testing::Test {
 protected:
  void SetUp() override {
    write_pico_model(folder_ / "in", {.family = "made_up",
                                      .kv_heads = 4,
                                      .head_dim = 4,
                                      .hidden_size = 12,
                                      .mlp_size = 8,
                                      .vocabulary = 20,
                                      .families = &families_});
    std::filesystem::copy(folder_ / "in", folder_ / "plain");
    edit_tensors(folder_ / "plain", [](std::vector<EditedTensor>& tensors) {
      for (EditedTensor& tensor : tensors) {
        auto& shape = tensor.spec.shape;
        if (shape.size() != 2 || !tensor.spec.name.starts_with("base.blocks.")) continue;
        std::vector<std::byte> exchanged(tensor.bytes.size());
        transpose_packed(tensor.bytes, shape[0], shape[1], sizeof(float), exchanged);
        tensor.bytes = std::move(exchanged);
        std::swap(shape[0], shape[1]);
      }
    });
  }
  [[nodiscard]] Model model() const { return Model::open(folder_ / "in", families_); }
  [[nodiscard]] Model plain() const { return Model::open(folder_ / "plain", plain_families_); }
  [[nodiscard]] std::filesystem::path convert(const Model& model, const Plan& plan, Layout layout,
                                              const char* name = "out") const {
    (void)export_model(model, plan, {.layout = layout}, folder_ / name, Overwrite::refuse);
    return folder_ / name;
  }

  Families families_ = with_made_up(fused_and_transposed);
  Families plain_families_ = with_made_up([](nlohmann::json& family) {
    fused_and_transposed(family);
    family["transposed"] = false;
  });
  TemporaryFolder folder_;
};

TEST_F(Transposed, MatricesAreSeenAsOutputsByInputs) {
  const Model seen = model();
  const Model wanted = plain();
  EXPECT_EQ(seen.checkpoint().at("base.blocks.0.attn.qkv.weight").shape, (std::vector<std::int64_t>{48, 12}));
  for (const TensorView& tensor : wanted.checkpoint().tensors()) {
    if (tensor.name == "counter") continue;
    EXPECT_EQ(values_of(seen.checkpoint().at(tensor.name)), values_of(tensor)) << tensor.name;
  }
  EXPECT_EQ(values_of(seen.layers()[1].value[3].weight), values_of(wanted.layers()[1].value[3].weight));
}

TEST_F(Transposed, ComputesTheSame) {
  const std::vector<std::int32_t> ids = {1, 7, 3, 19, 4};
  const std::vector<TokenSequence> text = {{.ids = ids, .first_target = 1, .document = 0}};
  EXPECT_EQ(evaluate(model(), nullptr, text, {}).cross_entropy, evaluate(plain(), nullptr, text, {}).cross_entropy);
}

TEST_F(Transposed, NothingMergedGivesTheSameFile) {
  const Plan plan = Plan::of({2, Grouping::contiguous(4, 4)});
  const Checkpoint before = Checkpoint::open(folder_ / "in");
  const Checkpoint after = Checkpoint::open(convert(model(), plan, Layout::expanded));
  ASSERT_EQ(after.tensors().size(), before.tensors().size());
  for (const TensorView& tensor : before.tensors()) {
    const TensorView& copy = after.at(tensor.name);
    EXPECT_EQ(copy.shape, tensor.shape) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(copy.stored, tensor.stored)) << tensor.name;
  }
}

TEST_F(Transposed, MergedHeadsAreWrittenAsTheClassHasThem) {
  const Plan plan = Plan::of({2, Grouping::from_labels(std::vector<int>{0, 1, 0, 1})});
  const Model out = Model::open(convert(model(), plan, Layout::gqa), families_);
  EXPECT_EQ(Checkpoint::open(folder_ / "out").at("base.blocks.0.attn.qkv.weight").shape,
            (std::vector<std::int64_t>{12, 32}));
  const Model wanted = Model::open(convert(plain(), plan, Layout::gqa, "plain-out"), plain_families_);
  for (const TensorView& tensor : wanted.checkpoint().tensors()) {
    if (tensor.name == "counter") continue;
    EXPECT_EQ(values_of(out.checkpoint().at(tensor.name)), values_of(tensor)) << tensor.name;
  }
}

}  // namespace
}  // namespace qcqa
