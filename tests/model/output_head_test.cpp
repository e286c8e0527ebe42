#include "qcqa/model/output_head.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/edited_model.hpp"
#include "support/expect_error.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

constexpr const char* kEmbedding = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";

class OutputHeadOf : public ::testing::Test {
 protected:
  OutputHeadOf() { write_pico_model(folder_.path(), {}); }
  void tie() {
    edit_config(folder_.path(), [](auto& config) { config["tie_word_embeddings"] = true; });
  }
  /// Gives the stored head the embedding's values.
  void copy_embedding() {
    edit_tensors(folder_.path(), [](std::vector<EditedTensor>& tensors) {
      const auto at = [&](const char* name) {
        return std::ranges::find(tensors, name, [](const EditedTensor& tensor) { return tensor.spec.name; });
      };
      at(kHead)->bytes = at(kEmbedding)->bytes;
    });
  }
  void remove_head() {
    edit_tensors(folder_.path(), [](std::vector<EditedTensor>& tensors) {
      std::erase_if(tensors, [](const EditedTensor& tensor) { return tensor.spec.name == kHead; });
    });
  }
  TemporaryFolder folder_;
};

TEST_F(OutputHeadOf, UntiedModelIsItsOwn) {
  const Model model = Model::open(folder_.path());
  EXPECT_EQ(output_head(model).weight->name, kHead);
  EXPECT_FALSE(output_head(model).tied);
}

TEST_F(OutputHeadOf, TiedConfigWithOtherStoredValuesIsItsOwn) {
  tie();
  const Model model = Model::open(folder_.path());
  EXPECT_EQ(output_head(model).weight->name, kHead);
  EXPECT_FALSE(output_head(model).tied);
}

TEST_F(OutputHeadOf, TiedConfigWithTheSameStoredValuesIsTheEmbedding) {
  tie();
  copy_embedding();
  const Model model = Model::open(folder_.path());
  EXPECT_EQ(output_head(model).weight->name, kEmbedding);
  EXPECT_TRUE(output_head(model).tied);
}

TEST_F(OutputHeadOf, SameValuesWithoutATieStayApart) {
  copy_embedding();
  EXPECT_FALSE(output_head(Model::open(folder_.path())).tied);
}

TEST_F(OutputHeadOf, TiedModelWithoutOneIsTheEmbedding) {
  tie();
  remove_head();
  EXPECT_TRUE(output_head(Model::open(folder_.path())).tied);
}

TEST_F(OutputHeadOf, ClassifierHasNone) {
  remove_head();
  edit_config(folder_.path(), [](auto& config) { config["architectures"] = {"LlamaForSequenceClassification"}; });
  const Model model = Model::open(folder_.path());
  expect_error(ErrorKind::unsupported, "needs the tensor lm_head.weight, or tied embeddings",
               [&] { require_output_head(model); });
}

TEST(OutputHead, BiasBelongsToItWhereTheClassHasOne) {
  const TemporaryFolder folder;
  write_pico_model(folder.path(), {.family = "phi"});
  const Model model = Model::open(folder.path());
  ASSERT_NE(output_head(model).bias, nullptr);
  EXPECT_EQ(output_head(model).bias->name, "lm_head.bias");
}

}  // namespace
}  // namespace qcqa
