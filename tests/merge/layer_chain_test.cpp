#include "merge/layer_chain.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "merge/work.hpp"
#include "qcqa/merge/distill.hpp"
#include "statistics/layer_runner.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

class LayerChains : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const std::uint64_t seed : {1, 2}) {
      const std::string name = "model-" + std::to_string(seed);
      write_pico_model(folder_ / name,
                       {.layers = 3, .head_dim = 8, .biases = true, .seed = seed, .mlp_size = 48, .vocabulary = 40});
      models_.push_back(Model::open(folder_ / name));
    }
    std::vector<std::vector<TokenId>> ids(4, std::vector<TokenId>(64));
    for (std::size_t i = 0; i < ids.size() * 64; ++i) ids[i / 64][i % 64] = static_cast<TokenId>((i * i + 3 * i) % 40);
    text_ = TokenSequences(std::move(ids));
  }

  TemporaryFolder folder_;
  std::vector<Model> models_;
  TokenSequences text_;
};

TEST_F(LayerChains, RecomputedActivationsGiveTheSameGradients) {
  const Transformer transformer(models_[0], Runtime{});
  const LayerRunner runner(transformer, text_.all());
  const SequenceBatch& batch = runner.batches().front();
  std::vector<LayerWeights> layers;
  std::vector<std::vector<at::Tensor>> leaves;
  for (int layer = 0; layer < 3; ++layer) {
    LayerWeights& weights = layers.emplace_back(transformer.load(layer));
    for (at::Tensor* weight : {&weights.query_key_value.weight, &weights.query_key_value.bias, &weights.output.weight,
                               &weights.mlp.gate_up.weight, &weights.mlp.down.weight, &weights.mlp_norm.weight}) {
      if (weight->defined()) weight->set_requires_grad(true);
    }
    leaves.push_back({weights.query_key_value.weight, weights.output.weight, weights.mlp.gate_up.weight,
                      weights.mlp.down.weight, weights.mlp_norm.weight, at::ones({3}).set_requires_grad(true)});
  }
  const LayerChain chain = {
      .run =
          [&](std::size_t layer, const at::Tensor& hidden) {
            return runner.run(layers[layer], static_cast<int>(layer), batch, hidden);
          },
      .loss = [](const at::Tensor& hidden) { return at::log_softmax(hidden, -1).square().mean(); },
      .weights = {leaves.begin(), leaves.end()}};
  at::Tensor stream = at::empty({runner.tokens(), transformer.hidden_size()});
  runner.embed(stream);
  const at::Tensor input = runner.rows(stream, batch);
  const auto kept = gradients_of(chain, input, Activations::kept);
  const auto recomputed = gradients_of(chain, input, Activations::recomputed);
  ASSERT_EQ(kept.size(), 18U);
  ASSERT_EQ(recomputed.size(), kept.size());
  for (std::size_t i = 0; i < kept.size(); ++i) {
    SCOPED_TRACE(i);
    ASSERT_EQ(kept[i].defined(), i % 6 != 5) << "the last weight of a layer is not in the loss";
    ASSERT_EQ(recomputed[i].defined(), kept[i].defined());
    if (!kept[i].defined()) continue;
    EXPECT_GT(kept[i].abs().max().item<double>(), 0);
    EXPECT_TRUE(at::equal(kept[i], recomputed[i]));
  }
}

TEST_F(LayerChains, LittleMemoryComesToTheSameModel) {
  const auto distilled = [&](std::uint64_t memory, const std::string& scratch) {
    return distill_model(models_[0], models_[1], text_.all(), {.steps = 6, .memory = memory}, folder_ / scratch).model;
  };
  const std::uint64_t least = distillation_bytes(models_[0], ReconstructScope::block);
  const MergeOptions small{.memory = least + 1};
  ASSERT_FALSE(keeps_activations(models_[0], small));
  const Model with = distilled(DistillOptions{}.memory, "much");
  const Model without = distilled(small.memory, "little");
  for (const TensorView& tensor : with.checkpoint().tensors()) {
    EXPECT_TRUE(std::ranges::equal(tensor.stored, without.checkpoint().at(tensor.name).stored)) << tensor.name;
  }
}

}  // namespace
}  // namespace qcqa
