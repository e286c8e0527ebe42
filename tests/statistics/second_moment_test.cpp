#include "statistics/second_moment.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <optional>

#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// A model that can be run, and sequences of 100 tokens each.
class SecondMoment : public ::testing::Test {
 protected:
  static constexpr std::int64_t kHidden = 32;

  void open(const char* family) {
    write_pico_model(folder_ / "model",
                     {.family = family, .head_dim = 8, .hidden_size = kHidden, .mlp_size = 8, .vocabulary = 7});
    model_.emplace(Model::open(folder_ / "model"));
    transformer_.emplace(*model_, Runtime{});
  }

  LayerRunner runner(int sequences) {
    std::vector<std::vector<TokenId>> ids(static_cast<std::size_t>(sequences), std::vector<TokenId>(100));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      for (std::size_t k = 0; k < ids[i].size(); ++k) ids[i][k] = static_cast<TokenId>((i + 3 * k * k) % 7);
    }
    sequences_ = TokenSequences(std::move(ids));
    return {*transformer_, sequences_.all()};
  }

  /// x of every row: RMS norm, by hand.
  [[nodiscard]] static at::Tensor normed(const at::Tensor& hidden, const NormWeights& norm, double epsilon) {
    const at::Tensor wide = hidden.to(at::kDouble);
    return wide / (wide.square().mean(1, true) + epsilon).sqrt() * norm.weight.to(at::kDouble);
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
  std::optional<Transformer> transformer_;
  TokenSequences sequences_;
};

TEST_F(SecondMoment, IsTheMeanOverAllTokens) {
  open("llama");
  const LayerRunner few = runner(4);
  at::manual_seed(2);
  const at::Tensor hidden = at::randn({few.tokens(), kHidden});
  const LayerWeights layer = transformer_->load(1);
  const at::Tensor x = normed(hidden, layer.attention_norm, transformer_->spec().norm_epsilon);
  const at::Tensor found = second_moment(few, hidden, layer, kHidden);
  EXPECT_EQ(found.scalar_type(), at::kDouble);
  EXPECT_TRUE(at::allclose(found, at::mm(x.t(), x) / 400, 1e-5, 1e-6));
}

TEST_F(SecondMoment, TokensOfMassiveActivationsCountAboutAnEighth) {
  open("llama");
  const LayerRunner few = runner(4);
  at::manual_seed(5);
  const at::Tensor hidden = at::randn({few.tokens(), kHidden});
  at::Tensor counts = at::ones({few.tokens(), 1}, at::kDouble);
  for (const std::int64_t row : {0, 200}) {
    hidden[row] *= 300;
    counts[row] = 400.0 / 8 / 2;
  }
  const LayerWeights layer = transformer_->load(1);
  const at::Tensor x = normed(hidden, layer.attention_norm, transformer_->spec().norm_epsilon);
  const at::Tensor wanted = at::mm((counts * x).t(), x) / counts.sum();
  EXPECT_TRUE(at::allclose(second_moment(few, hidden, layer, kHidden), wanted, 1e-5, 1e-6));
}

TEST_F(SecondMoment, HasAOneBelowTheInputWhereThereAreBiases) {
  open("llama");
  const LayerRunner few = runner(4);
  at::manual_seed(3);
  const at::Tensor hidden = at::randn({few.tokens(), kHidden});
  const LayerWeights layer = transformer_->load(0);
  const at::Tensor x = normed(hidden, layer.attention_norm, transformer_->spec().norm_epsilon);
  const at::Tensor found = second_moment(few, hidden, layer, kHidden + 1);
  EXPECT_TRUE(at::allclose(found[kHidden].narrow(0, 0, kHidden), x.mean(0), 1e-5, 1e-6));
  EXPECT_DOUBLE_EQ(found[kHidden][kHidden].item<double>(), 1);
  EXPECT_TRUE(at::allclose(found, found.t(), 1e-12, 1e-12));  // not every BLAS sums both halves alike
}

TEST_F(SecondMoment, TakesNoMoreBatchesThanItNeedsEvenlySpread) {
  open("llama");
  const LayerRunner many = runner(60);  // 30 batches of 200 tokens; 32 columns need 2048, so every third
  ASSERT_EQ(many.batches().size(), 30U);
  const at::Tensor hidden = at::ones({many.tokens(), kHidden});
  for (std::size_t i = 0; i < 30; ++i) {
    if (i % 3 != 0) hidden.narrow(0, many.batches()[i].first_row, 200).fill_(NAN);
  }
  EXPECT_TRUE(at::isfinite(second_moment(many, hidden, transformer_->load(0), kHidden)).all().item<bool>());
}

TEST_F(SecondMoment, WithoutTokensIsWhatTheNormMakesOfAnyDirection) {
  open("llama");
  const NormWeights norm = transformer_->load(1).attention_norm;
  const at::Tensor found = isotropic_moment(*model_, 1, kHidden);
  EXPECT_TRUE(at::allclose(found, at::diag(norm.weight.to(at::kDouble).square())));
}

TEST_F(SecondMoment, WithoutTokensBiasesOfTheNormAndOfTheProjectionsCount) {
  open("gpt_neox");
  const NormWeights norm = transformer_->load(0).attention_norm;
  ASSERT_TRUE(norm.bias.defined());
  const at::Tensor mean = at::cat({norm.bias.to(at::kDouble), at::ones({1}, at::kDouble)});
  const at::Tensor squares = at::cat({norm.weight.to(at::kDouble).square(), at::zeros({1}, at::kDouble)});
  EXPECT_TRUE(at::allclose(isotropic_moment(*model_, 0, kHidden + 1), at::diag(squares) + at::outer(mean, mean)));
}

}  // namespace
}  // namespace qcqa
