#include "fitness/head_blocks.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace qcqa {
namespace {

double number(const at::Tensor& value) { return value.item<double>(); }
/// x C y.
double product(const at::Tensor& x, const at::Tensor& c, const at::Tensor& y) {
  return number(at::dot(x, at::mv(c, y)));
}

/// Element by element, as the header defines them.
class HeadBlocksTest : public ::testing::Test {
 protected:
  static constexpr int kQueryHeads = 4, kHeads = 2, kHeadDim = 6, kHidden = 7, kInputs = 8;
  static constexpr int kRotary = 4, kPlanes = kRotary / 2, kRest = kHeadDim - kRotary;

  static at::Tensor random(at::IntArrayRef sizes) { return at::randn(sizes, at::kDouble); }

  void SetUp() override {
    at::manual_seed(5);
    weights_ = {random({kQueryHeads, kHeadDim, kInputs}), random({kHeads, kHeadDim, kInputs}),
                random({kHeads, kHeadDim, kInputs}), random({kQueryHeads, kHidden, kHeadDim})};
    const at::Tensor x = random({20, kInputs});
    moment_ = at::mm(x.t(), x) / 20;
    blocks_ = compute_head_blocks(weights_, {.rotary_dim = kRotary}, moment_);
  }

  AttentionWeights weights_;
  at::Tensor moment_;
  HeadBlocks blocks_;
};

TEST_F(HeadBlocksTest, ValuesMeetUnderTheMoment) {
  for (int i = 0; i < kHeads * kHeadDim; ++i) {
    for (int j = 0; j < kHeads * kHeadDim; ++j) {
      const at::Tensor a = weights_.value[i / kHeadDim][i % kHeadDim];
      const at::Tensor b = weights_.value[j / kHeadDim][j % kHeadDim];
      EXPECT_NEAR(number(blocks_.value[i][j]), product(a, moment_, b), 1e-12);
    }
  }
}

TEST_F(HeadBlocksTest, ValuesCountAsTheirQueryHeadsOutputs) {
  for (int head = 0; head < kHeads; ++head) {
    at::Tensor sum = at::zeros({kHeadDim, kHeadDim}, at::kDouble);
    for (const int query : {2 * head, 2 * head + 1}) sum += at::mm(weights_.output[query].t(), weights_.output[query]);
    EXPECT_TRUE(at::allclose(blocks_.value_weight[head], sum));
  }
}

TEST_F(HeadBlocksTest, PlanesMeetAsComplexRows) {
  ASSERT_EQ(blocks_.planes, kPlanes);
  for (int plane = 0; plane < kPlanes; ++plane) {
    for (int i = 0; i < kHeads; ++i) {
      for (int j = 0; j < kHeads; ++j) {
        const at::Tensor re_i = weights_.key[i][plane], im_i = weights_.key[i][plane + kPlanes];
        const at::Tensor re_j = weights_.key[j][plane], im_j = weights_.key[j][plane + kPlanes];
        const auto found = at::view_as_real(blocks_.plane[plane][i][j].resolve_conj());
        EXPECT_NEAR(number(found[0]), product(re_i, moment_, re_j) + product(im_i, moment_, im_j), 1e-12);
        EXPECT_NEAR(number(found[1]), product(im_i, moment_, re_j) - product(re_i, moment_, im_j), 1e-12);
      }
    }
  }
}

TEST_F(HeadBlocksTest, PlanesCountAsTheirQueriesEnergy) {
  for (int plane = 0; plane < kPlanes; ++plane) {
    for (int head = 0; head < kHeads; ++head) {
      double energy = 0;
      for (const int query : {2 * head, 2 * head + 1}) {
        for (const int row : {plane, plane + kPlanes}) {
          energy += product(weights_.query[query][row], moment_, weights_.query[query][row]);
        }
      }
      EXPECT_NEAR(number(blocks_.plane_weight[plane][head]), energy, 1e-12 * energy);
    }
  }
}

TEST_F(HeadBlocksTest, RowsThatAreNotRotatedAreTheRest) {
  ASSERT_EQ(blocks_.rest_dim(), kRest);
  for (int i = 0; i < kHeads * kRest; ++i) {
    for (int j = 0; j < kHeads * kRest; ++j) {
      const at::Tensor a = weights_.key[i / kRest][kRotary + i % kRest];
      const at::Tensor b = weights_.key[j / kRest][kRotary + j % kRest];
      EXPECT_NEAR(number(blocks_.rest[i][j]), product(a, moment_, b), 1e-12);
    }
  }
  for (int head = 0; head < kHeads; ++head) {
    at::Tensor sum = at::zeros({kRest, kRest}, at::kDouble);
    for (const int query : {2 * head, 2 * head + 1}) {
      const at::Tensor rows = weights_.query[query].narrow(0, kRotary, kRest);
      sum += at::mm(at::mm(rows, moment_), rows.t());
    }
    EXPECT_TRUE(at::allclose(blocks_.rest_weight[head], sum));
  }
}

TEST_F(HeadBlocksTest, ScoresAndOutputsAreComparedByTheirMeanSquares) {
  double output = 0, score = 0;
  for (int query = 0; query < kQueryHeads; ++query) {
    const int head = query / 2;
    const auto energy = [&](const at::Tensor& rows) { return number(at::mm(at::mm(rows, moment_), rows.t()).trace()); };
    output += energy(at::mm(weights_.output[query], weights_.value[head]));
    for (int plane = 0; plane < kPlanes; ++plane) {
      const auto square = [&](const at::Tensor& rows) {
        return product(rows[plane], moment_, rows[plane]) +
               product(rows[plane + kPlanes], moment_, rows[plane + kPlanes]);
      };
      score += square(weights_.key[head]) * square(weights_.query[query]);
    }
    const at::Tensor keys = weights_.key[head].narrow(0, kRotary, kRest);
    const at::Tensor queries = weights_.query[query].narrow(0, kRotary, kRest);
    score += number((at::mm(at::mm(keys, moment_), keys.t()) * at::mm(at::mm(queries, moment_), queries.t())).sum());
  }
  EXPECT_NEAR(blocks_.score_to_output, output / score, 1e-12 * output / score);
}

TEST_F(HeadBlocksTest, NoMomentIsTheIdentity) {
  const KeyFreedom freedom{.rotary_dim = kRotary, .scale = KeyScale::length};
  const HeadBlocks without = compute_head_blocks(weights_, freedom, {});
  const HeadBlocks identity = compute_head_blocks(weights_, freedom, at::eye(kInputs, at::kDouble));
  EXPECT_EQ(without.key_scale, KeyScale::length);
  EXPECT_TRUE(at::allclose(without.value, identity.value));
  EXPECT_TRUE(at::allclose(without.plane, identity.plane));
  EXPECT_TRUE(at::allclose(without.plane_weight, identity.plane_weight));
  EXPECT_TRUE(at::allclose(without.rest, identity.rest));
  EXPECT_TRUE(at::allclose(without.rest_weight, identity.rest_weight));
}

TEST(SelectHeads, TakesRowsAndColumnsOfSomeHeads) {
  const at::Tensor gram = at::arange(36, at::kDouble).view({6, 6});  // three heads of two rows
  const at::Tensor found = select_heads(gram, at::tensor({2, 0}, at::kLong), 2);
  const at::Tensor rows = at::tensor({4, 5, 0, 1}, at::kLong);
  EXPECT_TRUE(at::equal(found, gram.index_select(0, rows).index_select(1, rows)));
}

TEST(SelectHeads, OfNoRowsIsEmpty) {
  EXPECT_EQ(select_heads(at::zeros({0, 0}, at::kDouble), at::tensor({1, 0}, at::kLong), 0).numel(), 0);
}

}  // namespace
}  // namespace qcqa
