#include "merge/fitting.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>

#include <array>
#include <optional>
#include <set>

#include "merge/layer_optimizer.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

class Fitting : public ::testing::Test {
 protected:
  void SetUp() override {
    write_pico_model(folder_ / "model",
                     {.layers = 1, .query_heads = 4, .kv_heads = 4, .head_dim = 8, .mlp_size = 48, .vocabulary = 40});
    model_.emplace(Model::open(folder_ / "model"));
    transformer_.emplace(*model_, Runtime{});
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
  std::optional<Transformer> transformer_;
};

TEST_F(Fitting, StepsTakeAllBatchesInTurnAndThoseOfAStepAreOfOneSize) {
  // Two sequences of each length, none of which shares a batch with another.
  TokenSequences sequences;
  for (const std::size_t length : {140, 170, 200, 230, 256, 150, 140, 170, 200, 230, 256, 150}) {
    sequences.add(std::vector<TokenId>(length, 1));
  }
  const LayerRunner runner(*transformer_, sequences.all());
  ASSERT_EQ(runner.batches().size(), sequences.size());
  std::vector<std::size_t> all(sequences.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;

  BatchOrder order(runner, all, 512, 7);
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::set<const SequenceBatch*> seen;
    for (std::size_t step = 0; step < all.size() / 2; ++step) {
      const auto& batches = order.next();
      ASSERT_EQ(batches.size(), 2U);
      EXPECT_EQ(batches[0]->rows, batches[1]->rows);
      seen.insert(batches.begin(), batches.end());
    }
    EXPECT_EQ(seen.size(), all.size());
  }
}

TEST_F(Fitting, LongSequencesMakeStepsOfOne) {
  const TokenSequences sequences(std::vector(4, std::vector<TokenId>(512, 1)));
  const LayerRunner runner(*transformer_, sequences.all());
  BatchOrder order(runner, {0, 1, 2, 3}, 512, 7);
  for (int step = 0; step < 8; ++step) EXPECT_EQ(row_count(order.next()), 512);
}

TEST(Fit, EndsWhenItHasNotBecomeBetterForLong) {
  int taken = 0;
  int kept = 0;
  const auto fitted = [&](const Judgements& judgements, FitState state) {
    // Better until step 30, then worse.
    return fit(
        100, judgements, state, [&](int step) { taken = step; },
        [&] { return taken <= 30 ? 100.0 - taken : 100.0 + taken; }, [&] { kept = taken; }, [](const FitState&) {});
  };
  EXPECT_EQ(fitted({.count = 10, .patience = 3}, {}).steps, 30);
  EXPECT_EQ(taken, 60);
  EXPECT_EQ(kept, 30);
  // The same from where an interrupted one stood.
  EXPECT_EQ(fitted({.count = 10, .patience = 3},
                   {.step = 45, .best = {.before = 100, .after = 70, .steps = 30}, .least = 70, .least_at = 30})
                .steps,
            30);
  EXPECT_EQ(taken, 60);
  EXPECT_EQ(fitted({.count = 10}, {}).steps, 30);
  EXPECT_EQ(taken, 100);
}

TEST(Fit, ThatBeginsWellMayBecomeWorseFirst) {
  int taken = 0;
  // Worse at once, then better at every look; better than the beginning after the last step alone.
  const Fit result = fit(
      100, {.count = 10, .patience = 3}, {}, [&](int step) { taken = step; },
      [&] { return taken == 0 ? 10.0 : 109.0 - taken; }, [] {}, [](const FitState&) {});
  EXPECT_EQ(taken, 100);
  EXPECT_EQ(result.steps, 100);
  EXPECT_EQ(result.after, 9);
}

TEST_F(Fitting, OptimizerIsAdam) {
  LayerWeights layer = transformer_->load(0);
  const at::Tensor before = layer.output.weight.clone();
  LayerOptimizer optimizer(layer, ReconstructScope::attention, false, 0.01);
  const double rate = 0.01 * before.to(at::kDouble).square().mean().sqrt().item<double>();
  const at::Tensor leaf = before.clone().set_requires_grad(true);
  torch::optim::Adam adam({leaf}, torch::optim::AdamOptions(rate).betas({0.8, 0.95}));

  const std::size_t place = 1;  // queries, keys and values come before
  ASSERT_EQ(optimizer.weights().size(), 2U);
  for (int step = 0; step < 5; ++step) {
    const at::Tensor gradient = at::sin(before * (50.0 + step));
    std::array<std::vector<at::Tensor>, 2> of_batches;
    for (auto& gradients : of_batches) gradients.resize(2);
    of_batches[0][place] = gradient * 0.25;
    of_batches[1][place] = gradient * 0.75;
    optimizer.step(std::vector<std::span<const at::Tensor>>(of_batches.begin(), of_batches.end()), 1);
    leaf.mutable_grad() = gradient;
    adam.step();
  }
  optimizer.keep();
  optimizer.finish();
  EXPECT_GT((layer.output.weight - before).abs().max().item<double>(), rate);
  EXPECT_LT((layer.output.weight - leaf.detach()).abs().max().item<double>(), 1e-3 * rate);
}

}  // namespace
}  // namespace qcqa
