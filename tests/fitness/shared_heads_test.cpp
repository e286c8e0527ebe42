#include "fitness/shared_heads.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace qcqa {
namespace {

constexpr std::int64_t kMembers = 3, kMemberRows = 4, kMemberInputs = 9, kMemberPlanes = 2;

double total(const at::Tensor& values) { return values.sum().item<double>(); }

/// Heads' rows, a weight each, and their inner products; C is the identity.
class SharedRowsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(9);
    heads_ = at::randn({kMembers, kMemberRows, kMemberInputs}, at::kDouble);
    factors_ = at::randn({kMembers, kMemberRows, kMemberRows}, at::kDouble);
    weight_ = at::matmul(factors_, factors_.transpose(1, 2));
    const at::Tensor rows = heads_.view({kMembers * kMemberRows, kMemberInputs});
    gram_ = at::mm(rows, rows.t());
  }

  [[nodiscard]] at::Tensor shared(const SharedRows& rows) const {
    return at::mm(rows.combination, heads_.view({kMembers * kMemberRows, kMemberInputs}));
  }

  /// sum over i of |L_i^T (Y_i - B_i shared)|^2, from the rows themselves.
  [[nodiscard]] double error_by_definition(const SharedRows& rows) const {
    const at::Tensor left = heads_ - at::matmul(rows.coefficients, shared(rows));
    return total(at::matmul(factors_.transpose(1, 2), left).square());
  }

  at::Tensor heads_, factors_, weight_, gram_;
};

TEST_F(SharedRowsTest, ErrorIsThatOfTheRowsThemselves) {
  const SharedRows any{at::randn({kMemberRows, kMembers * kMemberRows}, at::kDouble),
                       at::randn({kMembers, kMemberRows, kMemberRows}, at::kDouble)};
  const double expected = error_by_definition(any);
  EXPECT_NEAR(error_of(any, gram_, weight_), expected, 1e-10 * expected);
}

TEST_F(SharedRowsTest, LeastErrorIsTheTailOfTheSingularValues) {
  const at::Tensor stacked = at::matmul(factors_.transpose(1, 2), heads_).view({kMembers * kMemberRows, kMemberInputs});
  const at::Tensor tail = std::get<1>(at::linalg_svd(stacked, false)).slice(0, kMemberRows);
  EXPECT_NEAR(least_error_of_rows(gram_, weight_), total(tail.square()), 1e-9);
}

TEST_F(SharedRowsTest, BestRowsReachTheLeastError) {
  const SharedRows best = best_shared_rows(gram_, weight_);
  EXPECT_NEAR(error_by_definition(best), least_error_of_rows(gram_, weight_), 1e-8);
}

TEST_F(SharedRowsTest, BestRowsAreAsLongAsTheHeadsAndOrthogonal) {
  const at::Tensor rows = shared(best_shared_rows(gram_, weight_));
  const double mean_square = total(heads_.square()) / (kMembers * kMemberRows);
  EXPECT_TRUE(at::allclose(at::mm(rows, rows.t()), mean_square * at::eye(kMemberRows, at::kDouble), 1e-8, 1e-8));
}

TEST_F(SharedRowsTest, SharedNumbersUndoAFactorOfEachAndNoMore) {
  const at::Tensor factors = at::randn({kMembers, kMemberRows, 1}, at::kDouble);
  const at::Tensor scaled = (factors * heads_[0]).view({kMembers * kMemberRows, kMemberInputs});
  const SharedRows shared = best_shared_numbers(at::mm(scaled, scaled.t()), weight_);
  heads_.copy_(scaled.view_as(heads_));
  EXPECT_LT(error_by_definition(shared), 1e-20 * total(heads_.square()));
  const at::Tensor off_diagonal = shared.coefficients - at::diag_embed(shared.coefficients.diagonal(0, 1, 2));
  EXPECT_EQ(total(off_diagonal.square()), 0);
}

TEST_F(SharedRowsTest, AlignedRowsUndoRotations) {
  for (int head = 1; head < kMembers; ++head) {
    const at::Tensor turn = std::get<0>(at::linalg_qr(at::randn({kMemberRows, kMemberRows}, at::kDouble)));
    heads_[head] = at::mm(turn, heads_[0]);
  }
  const at::Tensor rows = heads_.view({kMembers * kMemberRows, kMemberInputs});
  const SharedRows aligned = aligned_rows(at::mm(rows, rows.t()), kMembers);
  EXPECT_LT(error_by_definition(aligned), 1e-20 * total(heads_.square()));
}

TEST_F(SharedRowsTest, AlignedRowsKeepTheMeanLengthAndOnlyTurn) {
  const SharedRows aligned = aligned_rows(gram_, kMembers);
  EXPECT_NEAR(total(shared(aligned).square()), total(heads_.square()) / kMembers, 1e-9);
  const at::Tensor unity = at::matmul(aligned.coefficients, aligned.coefficients.transpose(1, 2));
  EXPECT_TRUE(at::allclose(unity, at::eye(kMemberRows, at::kDouble).expand_as(unity), 1e-9, 1e-9));
}

TEST_F(SharedRowsTest, AlignmentFindsMoreInCommonThanAnyTurnOfOneHead) {
  const SharedRows aligned = aligned_rows(gram_, kMembers);
  const at::Tensor turned = at::matmul(aligned.coefficients.transpose(1, 2), heads_);
  const double found = total(turned.sum(0).square());
  for (int trial = 0; trial < 50; ++trial) {
    at::Tensor other = turned.clone();
    const at::Tensor turn = std::get<0>(at::linalg_qr(at::randn({kMemberRows, kMemberRows}, at::kDouble)));
    other[trial % kMembers] = at::mm(turn, other[trial % kMembers]);
    EXPECT_LE(total(other.sum(0).square()), found * (1 + 1e-4));
  }
}

TEST_F(SharedRowsTest, PooledRowsAreTheWeightedSum) {
  const at::Tensor shares = at::tensor({0.5, 0.3, 0.2}, at::kDouble);
  const SharedRows pooled = pooled_rows(shares, kMemberRows);
  EXPECT_TRUE(at::allclose(shared(pooled), (shares.view({kMembers, 1, 1}) * heads_).sum(0)));
  EXPECT_TRUE(
      at::equal(pooled.coefficients, at::eye(kMemberRows, at::kDouble).expand({kMembers, kMemberRows, kMemberRows})));
}

TEST_F(SharedRowsTest, OneHeadAloneLosesNothing) {
  EXPECT_EQ(least_error_of_rows(gram_.slice(0, 0, kMemberRows).slice(1, 0, kMemberRows), weight_.slice(0, 0, 1)), 0);
}

class SharedPlanesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(10);
    keys_ = at::randn({kMemberPlanes, kMembers, kMemberInputs}, at::kComplexDouble);
    weight_ = at::rand({kMemberPlanes, kMembers}, at::kDouble) + 0.1;
    gram_ = gram_of(keys_);
  }

  static at::Tensor gram_of(const at::Tensor& keys) {
    return at::matmul(keys, keys.conj().transpose(1, 2)).resolve_conj();
  }

  [[nodiscard]] at::Tensor shared(const SharedPlanes& planes) const {
    return at::matmul(planes.combination.unsqueeze(1), keys_);  // planes, 1, inputs
  }

  [[nodiscard]] double error_by_definition(const SharedPlanes& planes) const {
    const at::Tensor left = keys_ - planes.coefficients.unsqueeze(2) * shared(planes);
    return total(at::abs(left).square().sum(2) * weight_);
  }

  at::Tensor keys_, weight_, gram_;
};

TEST_F(SharedPlanesTest, ErrorIsThatOfTheRowsThemselves) {
  const SharedPlanes any{at::randn({kMemberPlanes, kMembers}, at::kComplexDouble),
                         at::randn({kMemberPlanes, kMembers}, at::kComplexDouble)};
  const double expected = error_by_definition(any);
  EXPECT_NEAR(error_of(any, gram_, weight_), expected, 1e-10 * expected);
}

TEST_F(SharedPlanesTest, LeastErrorIsTheTailOfTheSingularValues) {
  double tail = 0;
  for (std::int64_t plane = 0; plane < kMemberPlanes; ++plane) {
    const at::Tensor stacked = weight_[plane].sqrt().unsqueeze(1) * keys_[plane];
    tail += total(std::get<1>(at::linalg_svd(stacked, false)).slice(0, 1).square());
  }
  EXPECT_NEAR(least_error_of_planes(gram_, weight_), tail, 1e-9);
}

TEST_F(SharedPlanesTest, BestPlanesReachTheLeastError) {
  EXPECT_NEAR(error_by_definition(best_shared_planes(gram_, weight_)), least_error_of_planes(gram_, weight_), 1e-7);
}

TEST_F(SharedPlanesTest, BestAndAlignedPlanesAreAsLongAsTheHeads) {
  const at::Tensor mean_square = at::abs(keys_).square().sum(2).mean(1);
  for (const SharedPlanes& planes : {best_shared_planes(gram_, weight_), aligned_planes(gram_)}) {
    EXPECT_TRUE(at::allclose(at::abs(shared(planes)).square().sum({1, 2}), mean_square, 1e-8));
  }
}

TEST_F(SharedPlanesTest, AlignedPlanesUndoPhases) {
  const at::Tensor angles = at::rand({kMemberPlanes, kMembers, 1}, at::kDouble) * 6;
  keys_ = keys_.slice(1, 0, 1) * at::polar(at::ones_like(angles), angles);
  EXPECT_LT(error_by_definition(aligned_planes(gram_of(keys_))), 1e-20);
}

TEST_F(SharedPlanesTest, PooledPlanesAreTheWeightedSum) {
  const at::Tensor shares = at::tensor({0.5, 0.3, 0.2}, at::kDouble);
  const SharedPlanes pooled = pooled_planes(shares, kMemberPlanes);
  EXPECT_TRUE(at::allclose(shared(pooled).squeeze(1), (shares.view({1, kMembers, 1}) * keys_).sum(1)));
}

}  // namespace
}  // namespace qcqa
