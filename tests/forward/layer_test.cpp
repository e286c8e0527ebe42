#include "forward/layer.hpp"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "forward/attention.hpp"
#include "forward/transformer.hpp"
#include "support/pico_model.hpp"
#include "support/temporary_folder.hpp"

namespace qcqa {
namespace {

using namespace testing;

/// The first layer of a small model over two sequences of five and three tokens.
class Layer : public ::testing::Test {
 protected:
  void SetUp() override {
    write_pico_model(folder_.path(), {.query_heads = 4, .kv_heads = 2, .head_dim = 4, .mlp_size = 10});
    model_.emplace(Model::open(folder_.path()));
    transformer_.emplace(*model_, Runtime{});
    weights_ = transformer_->load(0);
    at::manual_seed(1);
    hidden_ = at::randn({8, 12});
  }

  [[nodiscard]] at::Tensor run(const LayerWeights& weights) const {
    const AttentionOptions options = transformer_->attention_options(weights, 0);
    const Attend own = [&](const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
      return attend(q, k, v, {{0, 5, 0, 5}, {5, 3, 5, 3}}, options);
    };
    const RotaryTables tables(transformer_->spec().rotary, 5, Runtime{});
    const RotaryRows rows = tables.rows({0, 1, 2, 3, 4, 0, 1, 2}, {5, 5, 5, 5, 5, 3, 3, 3});
    return run_layer(weights, transformer_->spec(), transformer_->rotary_of(rows, 0), own, hidden_);
  }

  TemporaryFolder folder_;
  std::optional<Model> model_;
  std::optional<Transformer> transformer_;
  LayerWeights weights_;
  at::Tensor hidden_;
};

TEST_F(Layer, GivesTheSameWithAndWithoutGradients) {
  const at::Tensor input = hidden_.clone();
  at::Tensor plain;
  {
    const c10::InferenceMode inference;
    plain = run(weights_);
  }
  weights_.mlp.down.weight.requires_grad_();
  weights_.query_key_value.weight.requires_grad_();
  const at::Tensor differentiable = run(weights_);
  EXPECT_TRUE(differentiable.requires_grad());
  EXPECT_TRUE(at::allclose(differentiable.detach(), plain, 1e-5, 1e-6));
  EXPECT_TRUE(at::equal(hidden_, input)) << "the input was changed";
}

TEST_F(Layer, GradientsAreThoseOfSmallChanges) {
  for (at::Tensor* weight : {&weights_.query_key_value.weight, &weights_.output.weight, &weights_.mlp.gate_up.weight,
                             &weights_.mlp.down.weight, &weights_.attention_norm.weight}) {
    const at::Tensor original = *weight;
    const at::Tensor direction = at::randn(original.sizes());
    *weight = original.clone().requires_grad_();
    run(weights_).square().sum().backward();
    const double slope = (weight->grad() * direction).sum().item<double>();
    const auto at_step = [&](double step) {
      *weight = original + direction * step;
      return run(weights_).to(at::kDouble).square().sum().item<double>();
    };
    const double step = 1e-3;
    const double measured = (at_step(step) - at_step(-step)) / (2 * step);
    EXPECT_NEAR(slope, measured, 1e-2 * std::abs(measured) + 1e-2);
    *weight = original;
  }
}

}  // namespace
}  // namespace qcqa
