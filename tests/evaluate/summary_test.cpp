#include "evaluate/summary.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace qcqa {
namespace {

TokenSequence window_of(std::size_t document) { return {.ids = {}, .first_target = 1, .document = document}; }

TEST(Summary, MeansAreOverTokens) {
  const std::vector<TokenSequence> windows = {window_of(0), window_of(1)};
  const Evaluation evaluation = summarise(windows, {{{.loss = 1}, {.loss = 2}, {.loss = 3}}, {{.loss = 6}}}, false);
  EXPECT_EQ(evaluation.tokens, 4);
  EXPECT_EQ(evaluation.documents, 2);
  EXPECT_DOUBLE_EQ(evaluation.cross_entropy, 3);
  EXPECT_DOUBLE_EQ(evaluation.perplexity, std::exp(3.0));
  EXPECT_FALSE(evaluation.reference);
}

TEST(Summary, ErrorIsThatOfARatioOfDocumentTotals) {
  // Totals 6 and 6 of 3 and 1 tokens, mean 3: residuals -3 and 3; sqrt(18 * 2 / 1) / 4.
  const std::vector<TokenSequence> windows = {window_of(0), window_of(0), window_of(1)};
  const Evaluation evaluation = summarise(windows, {{{.loss = 1}}, {{.loss = 2}, {.loss = 3}}, {{.loss = 6}}}, false);
  EXPECT_DOUBLE_EQ(evaluation.standard_error, 1.5);
}

TEST(Summary, WindowsOfOneDocumentStandForDocuments) {
  const std::vector<TokenSequence> windows = {window_of(0), window_of(0)};
  EXPECT_DOUBLE_EQ(summarise(windows, {{{.loss = 1}}, {{.loss = 3}}}, false).standard_error, 1);
  EXPECT_DOUBLE_EQ(summarise(std::span(windows).first(1), {{{.loss = 1}}}, false).standard_error, 0);
}

TEST(Summary, DifferencesArePaired) {
  const std::vector<TokenSequence> windows = {window_of(0), window_of(1)};
  const Evaluation evaluation = summarise(windows,
                                          {{{.loss = 3, .reference_loss = 1, .kl = 0.5, .same_top = true}},
                                           {{.loss = 9, .reference_loss = 7, .kl = 0.1, .same_top = false}}},
                                          true);
  ASSERT_TRUE(evaluation.reference);
  EXPECT_DOUBLE_EQ(evaluation.reference->cross_entropy, 4);
  EXPECT_DOUBLE_EQ(evaluation.reference->difference, 2);
  EXPECT_DOUBLE_EQ(evaluation.reference->difference_error, 0);
  EXPECT_GT(evaluation.standard_error, 1);
  EXPECT_DOUBLE_EQ(evaluation.reference->kl_mean, 0.3);
  EXPECT_DOUBLE_EQ(evaluation.reference->top1_agreement, 0.5);
  EXPECT_DOUBLE_EQ(evaluation.perplexity_increase(), std::exp(2.0) - 1);
}

TEST(Summary, PositionsAreThoseOfThePredictingTokensAndDouble) {
  // Positions 0 to 4, and 3 and 4 of a window whose first tokens are context only.
  const std::vector<TokenSequence> windows = {{.ids = {}, .first_target = 1}, {.ids = {}, .first_target = 4}};
  const std::vector<std::vector<TokenScore>> scores = {
      {{.loss = 9}, {.loss = 8}, {.loss = 7}, {.loss = 5}, {.loss = 4}},
      {{.loss = 3, .reference_loss = 6}, {.loss = 1, .reference_loss = 0}}};
  const std::vector<PositionBucket> buckets = by_position(windows, scores, true);
  ASSERT_EQ(buckets.size(), 4);
  const std::vector<std::vector<double>> expected = {
      {0, 1, 1, 9, 9}, {1, 2, 1, 8, 8}, {2, 4, 3, 5, 3}, {4, 8, 2, 2.5, 2.5}};
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    const auto& [begin, end, tokens, cross_entropy, difference] = buckets[i];
    EXPECT_EQ((std::vector<double>{static_cast<double>(begin), static_cast<double>(end), static_cast<double>(tokens),
                                   cross_entropy, difference.value()}),
              expected[i])
        << i;
  }
  EXPECT_FALSE(by_position(windows, scores, false)[0].difference);
}

TEST(Summary, PositionsThatNothingPredictsFromAreLeftOut) {
  const std::vector<TokenSequence> windows = {{.ids = {}, .first_target = 9}};
  const std::vector<PositionBucket> buckets = by_position(windows, {{{.loss = 2}}}, false);
  ASSERT_EQ(buckets.size(), 1);
  EXPECT_EQ(buckets[0].begin, 8);
  EXPECT_EQ(buckets[0].end, 16);
}

TEST(Summary, NinetyNineOfAHundredHaveNoMoreThanThePercentile) {
  std::vector<TokenScore> scores(100);
  for (std::size_t i = 0; i < scores.size(); ++i) scores[i].kl = static_cast<double>((i * 37) % 100);
  EXPECT_DOUBLE_EQ(summarise(std::vector{window_of(0)}, {scores}, true).reference->kl_p99, 98);
}

}  // namespace
}  // namespace qcqa
