#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "forward/experts.hpp"

namespace qcqa {
namespace {

constexpr std::int64_t kWidth = 6, kInner = 4, kTokens = 9;
constexpr int kExperts = 6;

/// A mixture of random experts and what its family says of it.
class Experts : public ::testing::Test {
 protected:
  Experts() {
    at::manual_seed(7);
    description_.experts.emplace();
    description_.experts->names = {"gate", "up", "down"};
    spec_.names = &description_;
    spec_.activation = Activation::silu;
    spec_.experts = ExpertsFacts{.count = kExperts, .per_token = 2, .width = static_cast<int>(kInner)};
    weights_.router.weight = at::randn({kExperts, kWidth});
    for (int expert = 0; expert < kExperts; ++expert) weights_.experts.push_back(random_mlp());
    x_ = at::randn({kTokens, kWidth});
  }

  static MlpWeights random_mlp() { return {{at::randn({2 * kInner, kWidth}), {}}, {at::randn({kWidth, kInner}), {}}}; }

  static at::Tensor mlp(const MlpWeights& weights, const at::Tensor& row) {
    const at::Tensor both = at::mv(weights.gate_up.weight, row);
    return at::mv(weights.down.weight, at::silu(both.narrow(0, 0, kInner)) * both.narrow(0, kInner, kInner));
  }

  /// The experts of each token, and what they count, in plain loops.
  using Route = std::vector<std::pair<int, double>>;
  [[nodiscard]] Route route(const at::Tensor& row) const {
    const ExpertsFacts& facts = *spec_.experts;
    const at::Tensor logits = at::mv(weights_.router.weight, row).to(at::kDouble);
    std::vector<double> scores, order;
    for (int expert = 0; expert < kExperts; ++expert) {
      const double logit = logits[expert].item<double>();
      scores.push_back(scores_ == RouterScores::sigmoid ? 1 / (1 + std::exp(-logit)) : std::exp(logit));
      order.push_back(scores.back());
    }
    const double sum = std::accumulate(scores.begin(), scores.end(), 0.0);
    for (int expert = 0; expert < kExperts; ++expert) {
      const auto i = static_cast<std::size_t>(expert);
      if (scores_ == RouterScores::softmax) order[i] = scores[i] /= sum;
      if (weights_.choice_bias.defined()) order[i] += weights_.choice_bias[expert].item<double>();
    }
    const int size = kExperts / facts.groups;
    std::vector<std::pair<double, int>> groups;
    for (int group = 0; group < facts.groups; ++group) {
      std::vector<double> own(order.begin() + group * size, order.begin() + (group + 1) * size);
      std::ranges::sort(own, std::greater());
      groups.emplace_back(own[0] + (size > 1 ? own[1] : 0), group);
    }
    std::ranges::sort(groups, std::greater());
    std::vector<std::pair<double, int>> open;
    for (int i = 0; i < facts.groups_per_token; ++i) {
      for (int k = 0; k < size; ++k) {
        const int expert = groups[static_cast<std::size_t>(i)].second * size + k;
        open.emplace_back(order[static_cast<std::size_t>(expert)], expert);
      }
    }
    std::ranges::sort(open, std::greater());
    Route route;
    double chosen = 0;
    for (int i = 0; i < facts.per_token; ++i) {
      const int expert = open[static_cast<std::size_t>(i)].second;
      route.emplace_back(expert, scores[static_cast<std::size_t>(expert)]);
      chosen += route.back().second;
    }
    const bool divide = facts.normalised || scores_ == RouterScores::softmax_of_chosen;
    for (auto& [expert, share] : route) {
      if (divide) share /= std::max(chosen, facts.least_sum);
      share *= facts.multiplier;
    }
    return route;
  }

  void expect_as_in_loops() {
    description_.experts->scores = scores_;
    const at::Tensor made = run_experts(weights_, spec_, x_);
    for (std::int64_t token = 0; token < kTokens; ++token) {
      at::Tensor wanted = at::zeros({kWidth});
      for (const auto& [expert, share] : route(x_[token]))
        wanted += mlp(weights_.experts[static_cast<std::size_t>(expert)], x_[token]) * share;
      if (weights_.shared.down.weight.defined()) {
        const at::Tensor shared = mlp(weights_.shared, x_[token]);
        const at::Tensor& on = weights_.shared_switch.weight;
        wanted += on.defined() ? shared * at::sigmoid(at::mv(on, x_[token])) : shared;
      }
      EXPECT_TRUE(at::allclose(made[token], wanted, 1e-4, 1e-5)) << token << made[token] << wanted;
    }
  }

  ForwardDescription description_;
  ForwardSpec spec_;
  ExpertWeights weights_;
  at::Tensor x_;
  RouterScores scores_ = RouterScores::softmax;
};

TEST_F(Experts, ScoresAreSoftmaxOfAll) { expect_as_in_loops(); }

TEST_F(Experts, WeightsMaySumToOneUnlessTheirSumIsTiny) {
  spec_.experts->normalised = true;
  expect_as_in_loops();
  spec_.experts->least_sum = 0.75;
  expect_as_in_loops();
}

TEST_F(Experts, ScoresMayBeSoftmaxOfTheChosen) {
  scores_ = RouterScores::softmax_of_chosen;
  expect_as_in_loops();
}

TEST_F(Experts, BiasChoosesAndDoesNotWeigh) {
  scores_ = RouterScores::sigmoid;
  weights_.choice_bias = at::randn({kExperts});
  spec_.experts->normalised = true;
  spec_.experts->multiplier = 2.5;
  expect_as_in_loops();
}

TEST_F(Experts, TokensKeepToTheBestGroups) {
  scores_ = RouterScores::sigmoid;
  spec_.experts->groups = 3;
  spec_.experts->groups_per_token = 2;
  expect_as_in_loops();
  spec_.experts->groups_per_token = 1;
  expect_as_in_loops();
}

TEST_F(Experts, OneIsSharedByAllTokens) {
  weights_.shared = random_mlp();
  expect_as_in_loops();
  weights_.shared_switch.weight = at::randn({1, kWidth});
  expect_as_in_loops();
}

TEST_F(Experts, OneTokenAndExpertsWithoutTokens) {
  x_ = x_.narrow(0, 0, 1);
  const at::Tensor alone = run_experts(weights_, spec_, x_);
  at::Tensor wanted = at::zeros({kWidth});
  for (const auto& [expert, share] : route(x_[0]))
    wanted += mlp(weights_.experts[static_cast<std::size_t>(expert)], x_[0]) * share;
  EXPECT_TRUE(at::allclose(alone[0], wanted, 1e-4, 1e-5));
}

/// What reconstruction of the attention before them needs.
TEST_F(Experts, GradientsReachTheInputs) {
  spec_.experts->per_token = kExperts;  // a choice that changes has no slope
  x_ = x_.to(at::kDouble).narrow(0, 0, 3).clone();
  for (MlpWeights& expert : weights_.experts) {
    for (Linear* linear : {&expert.gate_up, &expert.down}) linear->weight = linear->weight.to(at::kDouble);
  }
  weights_.router.weight = weights_.router.weight.to(at::kDouble);
  const at::Tensor to = at::randn({3, kWidth}, at::kDouble);
  const auto loss = [&](const at::Tensor& x) { return (run_experts(weights_, spec_, x) * to).sum(); };
  const at::Tensor x = x_.clone().set_requires_grad(true);
  loss(x).backward();
  static constexpr double kStep = 1e-3;  // scores are float32
  for (std::int64_t i = 0; i < x_.numel(); ++i) {
    const at::Tensor up = x_.clone(), down = x_.clone();
    up.view({-1})[i] += kStep;
    down.view({-1})[i] -= kStep;
    const double slope = (loss(up) - loss(down)).item<double>() / (2 * kStep);
    EXPECT_NEAR(x.grad().view({-1})[i].item<double>(), slope, 2e-2 * std::max(1.0, std::abs(slope))) << i;
  }
}

}  // namespace
}  // namespace qcqa
