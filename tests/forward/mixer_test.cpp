#include "forward/mixer.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

namespace qcqa {
namespace {

constexpr std::int64_t kMixed = 12, kMixerTaps = 4;

/// Layers without heads, of random weights and without norms.
class Mixer : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(2);
    spec_.names = &names_;
    spec_.activation = Activation::silu;
    spec_.norm_epsilon = 1e-5;
    names_.mixer.emplace();
    spec_.mixer = MixerFacts{.taps = kMixerTaps};
    weights_.mlp = {{at::randn({8, kMixed}), {}}, {at::randn({kMixed, 8}), {}}};
  }

  void make_convolution() {
    weights_.mixer.emplace();
    weights_.mixer->input = {at::randn({3 * kMixed, kMixed}) / 3, {}};
    weights_.mixer->kernel = at::randn({kMixerTaps, kMixed});
    weights_.mixer->kernel_bias = at::randn({kMixed});
    weights_.mixer->output = {at::randn({kMixed, kMixed}) / 3, {}};
  }

  void make_delta_rule() {
    names_.mixer->kind = MixerKind::gated_delta;
    MixerFacts& facts = *spec_.mixer;
    facts.key_heads = 2;
    facts.value_heads = 4;
    facts.key_dim = 6;
    facts.value_dim = 5;
    MixerWeights& mixer = weights_.mixer.emplace();
    mixer.value_heads = facts.value_heads;
    mixer.key_dim = facts.key_dim;
    mixer.value_dim = facts.value_dim;
    const std::int64_t rows = facts.channels() + facts.values_width() + 2 * facts.value_heads;
    mixer.input = {at::randn({rows, kMixed}) / 3, {}};
    mixer.kernel = at::randn({kMixerTaps, facts.channels()});
    mixer.output = {at::randn({kMixed, facts.values_width()}) / 3, {}};
    mixer.decay_rate = -at::rand({facts.value_heads});
    mixer.decay_bias = at::randn({facts.value_heads});
    mixer.norm = at::randn({facts.value_dim});
  }

  [[nodiscard]] at::Tensor run(const at::Tensor& hidden, const std::vector<AttentionSpan>& spans,
                               MixerState* state = nullptr) const {
    return run_mixer_layer(weights_, spec_, spans, hidden, state);
  }
  [[nodiscard]] at::Tensor run_alone(const at::Tensor& hidden) const {
    return run(hidden, {{0, hidden.size(0), 0, hidden.size(0)}});
  }

  void expect_the_same_step_by_step(const std::vector<std::int64_t>& steps) const {
    std::int64_t tokens = 0;
    for (const std::int64_t step : steps) tokens += step;
    const at::Tensor hidden = at::randn({tokens, kMixed});
    const at::Tensor wanted = run_alone(hidden);
    MixerState state = empty_state(*weights_.mixer, 1, {});
    std::vector<at::Tensor> found;
    std::int64_t first = 0;
    for (const std::int64_t step : steps) {
      found.push_back(run(hidden.narrow(0, first, step), {{0, step, 0, first + step}}, &state));
      first += step;
    }
    EXPECT_TRUE(at::allclose(at::cat(found), wanted, 1e-4, 1e-4));
  }

  void expect_sequences_apart() const {
    const at::Tensor a = at::randn({5, kMixed}), b = at::randn({9, kMixed}), c = at::randn({9, kMixed});
    const std::vector<AttentionSpan> unequal = {{0, 5, 0, 5}, {5, 9, 5, 9}}, equal = {{0, 9, 0, 9}, {9, 9, 9, 9}};
    EXPECT_TRUE(at::allclose(run(at::cat({a, b}), unequal), at::cat({run_alone(a), run_alone(b)}), 1e-4, 1e-5));
    EXPECT_TRUE(at::allclose(run(at::cat({b, c}), equal), at::cat({run_alone(b), run_alone(c)}), 1e-4, 1e-5));
  }

  ForwardDescription names_;
  ForwardSpec spec_;
  LayerWeights weights_;
};

TEST_F(Mixer, AConvolutionGoesOnWhereItStopped) {
  make_convolution();
  expect_the_same_step_by_step({1, 1, 2, 7, 1});
}

TEST_F(Mixer, TheDeltaRuleGoesOnWhereItStopped) {
  make_delta_rule();
  expect_the_same_step_by_step({1, 2, 70, 1, 64, 3});
}

TEST_F(Mixer, SequencesDoNotSeeEachOther) {
  make_convolution();
  expect_sequences_apart();
  make_delta_rule();
  expect_sequences_apart();
}

/// Equation 10 of arXiv 2412.06464, token by token.
TEST_F(Mixer, TheDeltaRuleIsThatOfThePaper) {
  make_delta_rule();
  const MixerFacts& facts = *spec_.mixer;
  const MixerWeights& mixer = *weights_.mixer;
  const at::Tensor hidden = at::randn({80, kMixed});
  const at::Tensor rows = mixer.input(hidden);
  const at::Tensor raw = at::cat({at::zeros({kMixerTaps - 1, facts.channels()}), rows.narrow(1, 0, facts.channels())});
  const auto unit = [](const at::Tensor& x) { return x / (x.square().sum() + 1e-6).sqrt(); };
  std::vector<at::Tensor> memory(static_cast<std::size_t>(facts.value_heads),
                                 at::zeros({facts.value_dim, facts.key_dim}));
  std::vector<at::Tensor> out;
  for (std::int64_t t = 0; t < hidden.size(0); ++t) {
    at::Tensor mixed = at::zeros({facts.channels()});
    for (std::int64_t tap = 0; tap < kMixerTaps; ++tap) mixed = mixed + raw[t + tap] * mixer.kernel[tap];
    mixed = at::silu(mixed);
    std::vector<at::Tensor> heads;
    for (int head = 0; head < facts.value_heads; ++head) {
      const std::int64_t key_head = head / facts.values_per_key();
      const at::Tensor q = unit(mixed.narrow(0, key_head * facts.key_dim, facts.key_dim)) / std::sqrt(facts.key_dim);
      const at::Tensor k = unit(mixed.narrow(0, facts.keys_width() + key_head * facts.key_dim, facts.key_dim));
      const at::Tensor v =
          mixed.narrow(0, 2 * facts.keys_width() + std::int64_t{head} * facts.value_dim, facts.value_dim);
      const at::Tensor numbers = rows[t].narrow(0, facts.channels() + facts.values_width(), 2 * facts.value_heads);
      const at::Tensor beta = at::sigmoid(numbers[head]);
      const at::Tensor alpha =
          (mixer.decay_rate[head] * at::softplus(numbers[facts.value_heads + head] + mixer.decay_bias[head])).exp();
      at::Tensor& s = memory[static_cast<std::size_t>(head)];
      s = alpha * (s - beta * at::outer(s.mv(k), k)) + beta * at::outer(v, k);
      const at::Tensor heard = s.mv(q);
      const at::Tensor gate =
          rows[t].narrow(0, facts.channels() + std::int64_t{head} * facts.value_dim, facts.value_dim);
      heads.push_back(heard / (heard.square().mean() + spec_.norm_epsilon).sqrt() * mixer.norm * at::silu(gate));
    }
    out.push_back(at::cat(heads));
  }
  const at::Tensor between = hidden + mixer.output(at::stack(out));
  const at::Tensor wanted = between + weights_.mlp.down(at::silu(weights_.mlp.gate_up(between)));
  EXPECT_TRUE(at::allclose(run_alone(hidden), wanted, 1e-3, 1e-3));
}

TEST_F(Mixer, GradientsPassThrough) {
  make_delta_rule();
  const at::Tensor hidden = at::randn({70, kMixed}).set_requires_grad(true);
  run_alone(hidden).square().sum().backward();
  EXPECT_TRUE(at::isfinite(hidden.grad()).all().item<bool>());
  EXPECT_GT(hidden.grad()[0].abs().sum().item<double>(), 0);
}

}  // namespace
}  // namespace qcqa
