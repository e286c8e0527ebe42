#include "search/bound/triangle_cuts.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "search/search_instances.hpp"

namespace qcqa {
namespace {

constexpr int kNodes = 6;
constexpr int kEveryCut = 1000;

using Matrix = std::vector<double>;
using Cut = TriangleCuts::Cut;

double& entry(Matrix& matrix, int i, int j) { return matrix[static_cast<std::size_t>(i * kNodes + j)]; }
double entry(const Matrix& matrix, int i, int j) { return matrix[static_cast<std::size_t>(i * kNodes + j)]; }

Matrix random_symmetric(Rng& rng) {
  Matrix z(kNodes * kNodes);
  for (int i = 0; i < kNodes; ++i) {
    for (int j = 0; j <= i; ++j) entry(z, i, j) = entry(z, j, i) = 0.01 + test::uniform(rng);
  }
  return z;
}

/// Left side minus right side: above 0 where the inequality is violated.
double violation(const Matrix& z, const Cut& cut) {
  const double pair = entry(z, cut.i, cut.j) - entry(z, cut.i, cut.i);
  return cut.k < 0 ? pair : pair + entry(z, cut.i, cut.k) - entry(z, cut.j, cut.k);
}

/// By trying all: amounts, largest first.
std::vector<double> violations(const Matrix& z, bool pairs) {
  std::vector<double> amounts;
  for (int i = 0; i < kNodes; ++i) {
    for (int j = 0; j < kNodes; ++j) {
      if (pairs && j != i) amounts.push_back(violation(z, {i, j, -1}));
      for (int k = j + 1; k < kNodes; ++k) {
        if (i != j && i != k) amounts.push_back(violation(z, {i, j, k}));
      }
    }
  }
  std::erase_if(amounts, [](double amount) { return amount <= 1e-3; });
  std::ranges::sort(amounts, std::greater<>());
  return amounts;
}

std::vector<double> amounts_of(TriangleCuts& cuts, const Matrix& z) {
  std::vector<double> amounts;
  for (const Cut& cut : cuts.cuts()) amounts.push_back(violation(z, cut));
  return amounts;
}

TEST(TriangleCuts, NoGroupingViolatesAny) {
  test::for_each_partition(kNodes, [](const Grouping& grouping) {
    Matrix z(kNodes * kNodes);
    for (const auto& members : grouping.members()) {
      for (const auto i : members) {
        for (const auto j : members) entry(z, i, j) = 1.0 / static_cast<double>(members.size());
      }
    }
    TriangleCuts cuts(kNodes);
    cuts.separate(z, true, kEveryCut);
    ASSERT_TRUE(cuts.cuts().empty());
  });
}

TEST(TriangleCuts, SeparatesAllThatAreViolated) {
  Rng rng(21, 0);
  for (int trial = 0; trial < 50; ++trial) {
    const Matrix z = random_symmetric(rng);
    for (const bool pairs : {false, true}) {
      TriangleCuts cuts(kNodes);
      cuts.separate(z, pairs, kEveryCut);
      ASSERT_EQ(amounts_of(cuts, z), violations(z, pairs));
    }
  }
}

TEST(TriangleCuts, TakesTheMostViolatedFirst) {
  Rng rng(22, 0);
  const Matrix z = random_symmetric(rng);
  TriangleCuts cuts(kNodes);
  cuts.separate(z, true, 5);
  auto most = violations(z, true);
  most.resize(5);
  EXPECT_EQ(amounts_of(cuts, z), most);
}

TEST(TriangleCuts, KeepsThoseWithAMultiplierOnce) {
  Rng rng(23, 0);
  const Matrix z = random_symmetric(rng);
  TriangleCuts cuts(kNodes);
  cuts.separate(z, true, 5);
  for (Cut& cut : cuts.cuts()) cut.multiplier = 1;
  cuts.cuts().front().multiplier = 0;
  cuts.separate(z, true, kEveryCut);
  const auto& all = cuts.cuts();
  EXPECT_EQ(all.size(), violations(z, true).size());
  EXPECT_EQ(std::ranges::count(all, 1.0, &Cut::multiplier), 4);
  std::vector<std::tuple<int, int, int>> keys;
  for (const Cut& cut : all) keys.emplace_back(cut.i, cut.j, cut.k);
  std::ranges::sort(keys);
  EXPECT_EQ(std::ranges::adjacent_find(keys), keys.end());
}

TEST(TriangleCuts, AddsTheInequalityToAMatrix) {
  Rng rng(24, 0);
  const Matrix z = random_symmetric(rng);
  const TriangleCuts cuts(kNodes);
  for (const Cut& cut : {Cut{0, 1, -1}, Cut{2, 0, 5}, Cut{5, 3, 4}}) {
    Matrix matrix(kNodes * kNodes);
    cuts.add(matrix, cut, 0.7);
    double product = 0;
    for (int i = 0; i < kNodes; ++i) {
      for (int j = 0; j < kNodes; ++j) {
        EXPECT_EQ(entry(matrix, i, j), entry(matrix, j, i));
        product += entry(matrix, i, j) * entry(z, i, j);
      }
    }
    EXPECT_NEAR(product, 0.7 * violation(z, cut), 1e-15);
  }
}

TEST(TriangleCuts, RescaleMultipliesTheMultipliers) {
  Rng rng(25, 0);
  TriangleCuts cuts(kNodes);
  cuts.separate(random_symmetric(rng), true, 3);
  for (Cut& cut : cuts.cuts()) cut.multiplier = 2;
  cuts.rescale(0.25);
  EXPECT_EQ(std::ranges::count(cuts.cuts(), 0.5, &Cut::multiplier), 3);
}

}  // namespace
}  // namespace qcqa
