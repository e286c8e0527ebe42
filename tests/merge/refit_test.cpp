#include "merge/refit.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numeric>
#include <optional>
#include <random>

#include "fitness/merge_heads.hpp"
#include "forward/grouped_layer.hpp"
#include "merge/sinks.hpp"
#include "model/attention_facts.hpp"
#include "statistics/activations.hpp"
#include "statistics/second_moment.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// A model whose first token, always the same, has a stream that is far longer than all others', as real models' have.
class Refit : public ::testing::Test {
 protected:
  static constexpr int kVocabulary = 40, kLength = 32, kSequences = 96;
  static constexpr double kMassive = 10;

  void SetUp() override {
    static constexpr std::size_t kHidden = 32;
    write_pico_model(folder_ / "model", {.layers = 1,
                                         .query_heads = 4,
                                         .kv_heads = 4,
                                         .head_dim = 8,
                                         .hidden_size = kHidden,
                                         .mlp_size = 48,
                                         .vocabulary = kVocabulary,
                                         .adjust = [](const std::string& name, std::size_t i, double own) {
                                           const bool first = name == "model.embed_tokens.weight" && i < kHidden;
                                           return first ? kMassive * own : own;
                                         }});
    model_.emplace(Model::open(folder_ / "model"));
    transformer_.emplace(*model_, Runtime{});
    std::mt19937 random(1);
    std::vector<std::vector<TokenId>> ids(kSequences, std::vector<TokenId>(kLength, 0));
    for (auto& row : ids) {
      for (std::size_t i = 1; i < row.size(); ++i) row[i] = static_cast<TokenId>(1 + random() % (kVocabulary - 1));
    }
    sequences_ = TokenSequences(std::move(ids));
    runner_.emplace(*transformer_, sequences_.all());
    layer_ = transformer_->load(0);
    inputs_ = at::empty({runner_->tokens(), transformer_->hidden_size()});
    runner_->embed(inputs_);
    targets_ = inputs_.clone();
    BatchProgress progress(nullptr);
    runner_->advance(layer_, 0, targets_, progress);
  }

  [[nodiscard]] LayerTask task(const at::Tensor& importance) const {
    LayerTask task{.layer = 0,
                   .original = &layer_,
                   .inputs = inputs_,
                   .original_inputs = inputs_,
                   .targets = targets_,
                   .sinks = find_sinks(*runner_, targets_),
                   .importance = importance,
                   .fitted = std::vector<std::size_t>(runner_->batches().size() - 1),
                   .held_back = {runner_->batches().size() - 1}};
    std::iota(task.fitted.begin(), task.fitted.end(), std::size_t{0});
    return task;
  }
  [[nodiscard]] at::Tensor alike() const { return at::ones({runner_->tokens()}); }

  [[nodiscard]] OutputError error_of(const LayerTask& task, const LayerWeights& weights) const {
    return output_error(*runner_, task, weights, task.held_back);
  }

  static Linear& output(LayerWeights& weights) { return weights.output; }
  static Linear& down(LayerWeights& weights) { return weights.mlp.down; }
  /// Of the error that a disturbed projection makes, what is left when something was refitted.
  double share_left(Linear& (&disturbed)(LayerWeights&),
                    void (&refit)(const LayerRunner&, const LayerTask&, LayerWeights&)) const {
    const LayerTask all = task(alike());
    LayerWeights weights = layer_;
    at::Tensor& weight = disturbed(weights).weight;
    at::manual_seed(3);
    weight = weight + 0.3 * weight.std() * at::randn_like(weight);
    const double before = error_of(all, weights).judged;
    refit(*runner_, all, weights);
    return error_of(all, weights).judged / before;
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
  std::optional<Transformer> transformer_;
  TokenSequences sequences_;
  std::optional<LayerRunner> runner_;
  LayerWeights layer_;
  at::Tensor inputs_, targets_;
};

TEST_F(Refit, FindsAProjectionAgainThatWasDisturbed) {
  EXPECT_LT(share_left(output, refit_output), 1e-3);
  EXPECT_LT(share_left(down, refit_mlp), 1e-3);
}

TEST_F(Refit, WhatNothingImprovesStaysToTheBit) {
  const LayerTask all = task(alike());
  LayerWeights same = layer_;
  refit_output(*runner_, all, same);
  EXPECT_TRUE(at::equal(same.output.weight, layer_.output.weight));
}

TEST_F(Refit, TheMlpMakesUpForTheAttention) { EXPECT_LT(share_left(output, refit_mlp), 0.9); }

TEST_F(Refit, SinksHoldWhenHeadsAreMerged) {
  const AttentionLayer& attention = model_->layers().front();
  const Grouping one = Grouping::contiguous(4, 1);
  const AttentionWeights heads = read_attention_weights(attention);
  const at::Tensor moment = second_moment(*runner_, inputs_, layer_, heads.inputs());
  const AttentionWeights merged =
      merge_heads(heads, one, MergeKind::refit, key_freedoms(model_->settings()).front(), moment);
  const auto sink_error = [&](const at::Tensor& importance) {
    const LayerTask task = this->task(importance);
    LayerWeights compact = compact_layer(layer_, merged, one, Runtime{});
    refit_output(*runner_, task, compact);
    refit_mlp(*runner_, task, compact);
    return error_of(task, compact).sinks;
  };
  const double as_sinks = sink_error(importance_of(find_sinks(*runner_, targets_)));
  EXPECT_LT(as_sinks, 0.5 * sink_error(alike()));
}

TEST_F(Refit, SinksAreFirstTokensAndMassiveOnes) {
  at::Tensor stream = at::ones({runner_->tokens(), 4});
  stream[5] = 11;
  stream[6] = 9;
  const at::Tensor sinks = find_sinks(*runner_, stream);
  EXPECT_EQ(sinks.sum().item<int>(), kSequences + 1);
  EXPECT_TRUE(sinks[5].item<bool>());
  for (std::int64_t first = 0; first < runner_->tokens(); first += kLength) EXPECT_TRUE(sinks[first].item<bool>());

  const at::Tensor importance = importance_of(sinks);
  EXPECT_NEAR(importance.mean().item<double>(), 1, 1e-6);
  const double share = (importance * sinks).sum().item<double>() / static_cast<double>(runner_->tokens());
  EXPECT_NEAR(share, 0.125 / (0.125 + 1 - sinks.to(at::kFloat).mean().item<double>()), 1e-6);
}

TEST_F(Refit, AttentionToTokensIsTheirShare) {
  const SequenceBatch& batch = runner_->batches().front();
  const at::Tensor rows = runner_->rows(inputs_, batch);
  const auto shares = [&](const at::Tensor& marked) { return runner_->attention_to(marked, layer_, 0, batch, rows); };
  EXPECT_TRUE(at::allclose(shares(at::ones({batch.rows}, at::kBool)), at::ones({batch.rows}), 1e-5, 1e-6));
  at::Tensor first = at::zeros({batch.rows}, at::kBool);
  for (const AttentionSpan& span : batch.spans) first[span.query_row] = true;
  const at::Tensor to_first = shares(first);
  const at::Tensor others = to_first.masked_select(first.logical_not());
  EXPECT_TRUE(at::allclose(to_first.masked_select(first), at::ones({1}), 1e-5, 1e-6)) << "they see nothing else";
  EXPECT_GT(others.min().item<float>(), 0);
  EXPECT_LT(others.max().item<float>(), 1);
  EXPECT_TRUE(at::allclose(to_first + shares(first.logical_not()), at::ones({batch.rows}), 1e-5, 1e-6));
}

}  // namespace
}  // namespace qcqa
