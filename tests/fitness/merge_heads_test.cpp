#include "fitness/merge_heads.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "fitness/group_sharing.hpp"

namespace qcqa {
namespace {

constexpr std::int64_t kTokens = 24;

struct Shape {
  const char* name;
  std::int64_t query_heads, kv_heads, head_dim;
  int rotary_dim;
  bool biases;
};

std::ostream& operator<<(std::ostream& stream, const Shape& shape) { return stream << shape.name; }

constexpr std::int64_t kHidden = 20;

at::Tensor random(at::IntArrayRef sizes) { return at::randn(sizes, at::kDouble); }

AttentionWeights random_weights(const Shape& shape) {
  const std::int64_t inputs = kHidden + (shape.biases ? 1 : 0);
  return {random({shape.query_heads, shape.head_dim, inputs}), random({shape.kv_heads, shape.head_dim, inputs}),
          random({shape.kv_heads, shape.head_dim, inputs}), random({shape.query_heads, kHidden, shape.head_dim})};
}

/// (tokens, inputs), the last column 1 where there are biases.
at::Tensor random_input(const AttentionWeights& weights) {
  const at::Tensor x = random({kTokens, weights.inputs()});
  if (weights.inputs() > kHidden) x.select(1, kHidden).fill_(1);
  return x;
}

/// Rotates planes (i, i + rotary_dim / 2) by position * frequency.
at::Tensor rotated(const at::Tensor& rows, int rotary_dim) {
  at::Tensor out = rows.clone();
  const std::int64_t planes = rotary_dim / 2;
  const at::Tensor positions = at::arange(rows.size(0), at::kDouble).unsqueeze(1);
  const at::Tensor angle = positions * at::pow(10.0, -at::arange(planes, at::kDouble)).unsqueeze(0);
  const at::Tensor a = rows.narrow(1, 0, planes);
  const at::Tensor b = rows.narrow(1, planes, planes);
  out.narrow(1, 0, planes).copy_(a * angle.cos() - b * angle.sin());
  out.narrow(1, planes, planes).copy_(b * angle.cos() + a * angle.sin());
  return out;
}

/// The attention block, causal, in float64: (tokens, hidden).
at::Tensor attention(const AttentionWeights& weights, const at::Tensor& x, int rotary_dim) {
  at::Tensor out = at::zeros({x.size(0), kHidden}, at::kDouble);
  const at::Tensor future = at::full({x.size(0), x.size(0)}, -INFINITY, at::kDouble).triu(1);
  for (int head = 0; head < weights.query_heads(); ++head) {
    const int kv_head = head / weights.queries_per_kv_head();
    const at::Tensor q = rotated(at::mm(x, weights.query[head].t()), rotary_dim);
    const at::Tensor k = rotated(at::mm(x, weights.key[kv_head].t()), rotary_dim);
    const at::Tensor v = at::mm(x, weights.value[kv_head].t());
    const at::Tensor shares = at::softmax(at::mm(q, k.t()) / std::sqrt(weights.head_dim()) + future, 1);
    out += at::mm(at::mm(shares, v), weights.output[head].t());
  }
  return out;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

/// Makes KV head `head` (and its query heads) head `like` in another basis: an equal model.
void change_basis(AttentionWeights& weights, int head, int like, int rotary_dim) {
  const std::int64_t d = weights.head_dim();
  const at::Tensor value_basis = random({d, d});
  weights.value[head] = at::mm(value_basis, weights.value[like]);
  at::Tensor key = weights.key[like].clone();
  const std::int64_t planes = rotary_dim / 2;
  for (std::int64_t plane = 0; plane < planes; ++plane) {
    const double length = 0.5 + at::rand({1}, at::kDouble).item<double>();
    const double angle = 6 * at::rand({1}, at::kDouble).item<double>();
    const at::Tensor a = weights.key[like][plane];
    const at::Tensor b = weights.key[like][plane + planes];
    key[plane] = length * (std::cos(angle) * a - std::sin(angle) * b);
    key[plane + planes] = length * (std::sin(angle) * a + std::cos(angle) * b);
  }
  const std::int64_t rest = d - rotary_dim;
  if (rest > 0) {
    key.narrow(0, rotary_dim, rest).copy_(at::mm(random({rest, rest}), weights.key[like].narrow(0, rotary_dim, rest)));
  }
  weights.key[head] = key;
}

class MergeHeads : public ::testing::TestWithParam<Shape> {
 protected:
  void SetUp() override { at::manual_seed(7); }
  [[nodiscard]] KeyFreedom freedom() const { return {.rotary_dim = GetParam().rotary_dim}; }
  [[nodiscard]] int heads() const { return static_cast<int>(GetParam().kv_heads); }
};

TEST_P(MergeHeads, OneHeadPerGroupChangesNothing) {
  const AttentionWeights weights = random_weights(GetParam());
  for (const MergeKind kind :
       {MergeKind::mean, MergeKind::first, MergeKind::weighted, MergeKind::aligned, MergeKind::subspace}) {
    const AttentionWeights merged = merge_heads(weights, Grouping::identity(heads()), kind, freedom(), {});
    EXPECT_TRUE(at::equal(merged.query, weights.query));
    EXPECT_TRUE(at::equal(merged.key, weights.key));
    EXPECT_TRUE(at::equal(merged.value, weights.value));
    EXPECT_TRUE(at::equal(merged.output, weights.output));
  }
}

TEST_P(MergeHeads, SubspaceLosesNothingWhenHeadsDifferByTheirBasis) {
  AttentionWeights weights = random_weights(GetParam());
  for (int head = 1; head < heads(); ++head) change_basis(weights, head, head % 2, GetParam().rotary_dim);
  std::vector<int> labels;
  for (int head = 0; head < heads(); ++head) labels.push_back(head % 2);
  const at::Tensor x = random_input(weights);
  const at::Tensor moment = at::mm(x.t(), x) / kTokens;
  for (const at::Tensor& second_moment : {at::Tensor(), moment}) {
    const AttentionWeights merged =
        merge_heads(weights, Grouping::from_labels(labels), MergeKind::subspace, freedom(), second_moment);
    for (int head = 2; head < heads(); ++head) {
      EXPECT_TRUE(at::equal(merged.key[head], merged.key[head % 2]));
      EXPECT_TRUE(at::equal(merged.value[head], merged.value[head % 2]));
    }
    EXPECT_LT(
        relative_difference(attention(merged, x, GetParam().rotary_dim), attention(weights, x, GetParam().rotary_dim)),
        1e-8);
  }
}

TEST_P(MergeHeads, AlignedLosesNothingWhenHeadsDifferByRotations) {
  AttentionWeights weights = random_weights(GetParam());
  for (int head = 1; head < heads(); ++head) {
    const at::Tensor basis = std::get<0>(at::linalg_qr(random({GetParam().head_dim, GetParam().head_dim})));
    weights.value[head] = at::mm(basis, weights.value[0]);
    at::Tensor key = weights.key[0].clone();
    const std::int64_t planes = GetParam().rotary_dim / 2;
    const at::Tensor angle = 6 * at::rand({planes, 1}, at::kDouble);
    const at::Tensor a = weights.key[0].narrow(0, 0, planes);
    const at::Tensor b = weights.key[0].narrow(0, planes, planes);
    key.narrow(0, 0, planes).copy_(angle.cos() * a - angle.sin() * b);
    key.narrow(0, planes, planes).copy_(angle.sin() * a + angle.cos() * b);
    const std::int64_t rest = GetParam().head_dim - GetParam().rotary_dim;
    if (rest > 0) {
      const at::Tensor turn = std::get<0>(at::linalg_qr(random({rest, rest})));
      key.narrow(0, GetParam().rotary_dim, rest)
          .copy_(at::mm(turn, weights.key[0].narrow(0, GetParam().rotary_dim, rest)));
    }
    weights.key[head] = key;
  }
  const std::vector<int> labels(static_cast<std::size_t>(heads()), 0);
  const AttentionWeights merged =
      merge_heads(weights, Grouping::from_labels(labels), MergeKind::aligned, freedom(), {});
  const at::Tensor x = random_input(weights);
  EXPECT_LT(
      relative_difference(attention(merged, x, GetParam().rotary_dim), attention(weights, x, GetParam().rotary_dim)),
      1e-8);
}

TEST_P(MergeHeads, ValueCostIsTheMeasuredOutputError) {
  const AttentionWeights weights = random_weights(GetParam());
  const at::Tensor x = random_input(weights);
  const at::Tensor moment = at::mm(x.t(), x) / kTokens;
  const HeadBlocks blocks = compute_head_blocks(weights, freedom(), moment);
  std::vector<int> labels(static_cast<std::size_t>(heads()), 0);
  labels.back() = 1;
  const Grouping grouping = Grouping::from_labels(labels);
  for (const MergeKind kind :
       {MergeKind::mean, MergeKind::first, MergeKind::weighted, MergeKind::aligned, MergeKind::subspace}) {
    const AttentionWeights merged = merge_heads(weights, grouping, kind, freedom(), moment);
    double measured = 0;
    for (int head = 0; head < weights.query_heads(); ++head) {
      const int kv_head = head / weights.queries_per_kv_head();
      const auto output = [&](const AttentionWeights& w) {
        return at::mm(at::mm(x, w.value[kv_head].t()), w.output[head].t());
      };
      measured += (output(merged) - output(weights)).square().sum().item<double>() / kTokens;
    }
    double cost = 0;
    for (const auto& members : grouping.members()) cost += sharing_cost(blocks, members, kind).v;
    EXPECT_NEAR(cost, measured, 1e-9 * measured);
  }
}

TEST_P(MergeHeads, SubspaceCostsLeast) {
  const AttentionWeights weights = random_weights(GetParam());
  const HeadBlocks blocks = compute_head_blocks(weights, freedom(), {});
  const std::vector<std::uint8_t> members = {0, 1};
  const double least = sharing_cost(blocks, members, MergeKind::subspace).total();
  for (const MergeKind kind : {MergeKind::mean, MergeKind::first, MergeKind::weighted, MergeKind::aligned}) {
    EXPECT_LT(least, sharing_cost(blocks, members, kind).total());
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, MergeHeads,
                         ::testing::Values(Shape{"rotary", 4, 4, 6, 6, false}, Shape{"biases", 4, 4, 6, 6, true},
                                           Shape{"grouped", 8, 4, 6, 6, true},
                                           Shape{"partial_rotary", 4, 4, 8, 4, true},
                                           Shape{"no_rotary", 4, 4, 5, 0, false}),
                         [](const auto& shape) { return std::string(shape.param.name); });

/// Planes of neighbours are those of halves in another order of the rows.
TEST(MergeHeadsWithNeighbours, IsTheSameUpToTheOrderOfRows) {
  at::manual_seed(4);
  const AttentionWeights halves = random_weights({"", 4, 4, 8, 6, true});
  const at::Tensor order = at::tensor({0, 3, 1, 4, 2, 5, 6, 7}, at::kLong);
  AttentionWeights neighbours = halves;
  neighbours.query = halves.query.index_select(1, order);
  neighbours.key = halves.key.index_select(1, order);
  const Grouping grouping = Grouping::from_labels(std::vector<int>{0, 1, 0, 1});
  for (const MergeKind kind : {MergeKind::mean, MergeKind::aligned, MergeKind::subspace}) {
    const AttentionWeights a = merge_heads(halves, grouping, kind, {.rotary_dim = 6}, {});
    const AttentionWeights b = merge_heads(neighbours, grouping, kind, {.rotary_dim = 6, .neighbours = true}, {});
    EXPECT_TRUE(at::equal(b.query, a.query.index_select(1, order)));
    EXPECT_TRUE(at::equal(b.key, a.key.index_select(1, order)));
    EXPECT_TRUE(at::equal(b.value, a.value));
    EXPECT_TRUE(at::equal(b.output, a.output));
  }
}

/// Queries and keys of all heads normalised together, as in OLMo 2: nothing about keys is free.
TEST(MergeHeadsWithProjectionNorm, KeysArePooledAsTheyAre) {
  at::manual_seed(6);
  AttentionWeights weights = random_weights({"", 4, 4, 6, 6, false});
  weights.key_norm = random({4, 6});
  const Grouping grouping = Grouping::from_labels(std::vector<int>{0, 1, 0, 1});
  const KeyFreedom freedom{.rotary_dim = 6, .scale = KeyScale::none};
  const AttentionWeights mean = merge_heads(weights, grouping, MergeKind::mean, freedom, {});
  for (const MergeKind kind : {MergeKind::aligned, MergeKind::subspace}) {
    const AttentionWeights merged = merge_heads(weights, grouping, kind, freedom, {});
    EXPECT_TRUE(at::equal(merged.query, weights.query));
    EXPECT_TRUE(at::equal(merged.key, mean.key));
    EXPECT_FALSE(at::equal(merged.value, mean.value));
    EXPECT_TRUE(at::allclose(merged.key_norm[2], (weights.key_norm[0] + weights.key_norm[2]) / 2));
    EXPECT_TRUE(at::equal(merged.key_norm[2], merged.key_norm[0]));
  }
}

/// Queries and keys normalised head by head, as in Qwen3.
TEST(MergeHeadsWithHeadNorm, LosesNothingWhenKeysDifferByTheirLength) {
  at::manual_seed(3);
  AttentionWeights weights = random_weights({"", 4, 2, 6, 6, false});
  weights.key[1] = 3.5 * weights.key[0];
  const Grouping grouping = Grouping::from_labels(std::vector<int>{0, 0});
  for (const MergeKind kind : {MergeKind::aligned, MergeKind::subspace}) {
    const AttentionWeights merged =
        merge_heads(weights, grouping, kind, {.rotary_dim = 6, .scale = KeyScale::length}, {});
    EXPECT_TRUE(at::equal(merged.query, weights.query));
    for (int head = 0; head < 2; ++head) {
      const at::Tensor before = weights.key[head] / weights.key[head].norm();
      const at::Tensor after = merged.key[head] / merged.key[head].norm();
      EXPECT_LT(relative_difference(after, before), 1e-12);
    }
  }
}

}  // namespace
}  // namespace qcqa
