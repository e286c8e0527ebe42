#include "forward/attention.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace qcqa {
namespace {

using Spans = std::vector<AttentionSpan>;

struct Inputs {
  at::Tensor queries, keys, values;
};

Inputs inputs_for(const AttentionOptions& options, const Spans& spans) {
  at::manual_seed(3);
  std::int64_t query_rows = 0;
  std::int64_t key_rows = 0;
  for (const AttentionSpan& span : spans) {
    query_rows = std::max(query_rows, span.query_row + span.queries);
    key_rows = std::max(key_rows, span.key_row + span.keys);
  }
  const auto width = static_cast<std::int64_t>(options.kv_head_of.size()) * options.head_dim;
  const std::int64_t kv_width = (*std::ranges::max_element(options.kv_head_of) + 1) * options.head_dim;
  return {at::randn({query_rows, width}), at::randn({key_rows, kv_width}), at::randn({key_rows, kv_width})};
}

/// Token by token in float64.
at::Tensor by_definition(const Inputs& in, const AttentionOptions& options, const Spans& spans) {
  at::Tensor out = at::zeros(in.queries.sizes(), at::kDouble);
  const std::int64_t d = options.head_dim;
  for (const AttentionSpan& span : spans) {
    for (std::int64_t i = 0; i < span.queries; ++i) {
      const std::int64_t position = span.keys - span.queries + i;
      const std::int64_t first =
          options.window > 0 ? std::max<std::int64_t>(0, position - options.window + 1) : std::int64_t{0};
      for (std::size_t head = 0; head < options.kv_head_of.size(); ++head) {
        const std::int64_t column = static_cast<std::int64_t>(head) * d;
        const std::int64_t kv_column = std::int64_t{options.kv_head_of[head]} * d;
        const auto rows = [&](const at::Tensor& all) {
          return all.narrow(0, span.key_row + first, position + 1 - first).narrow(1, kv_column, d).to(at::kDouble);
        };
        const at::Tensor query = in.queries[span.query_row + i].narrow(0, column, d).to(at::kDouble);
        at::Tensor scores = at::mv(rows(in.keys), query) * options.scale;
        if (options.softcap > 0) scores = at::tanh(scores / options.softcap) * options.softcap;
        if (options.slopes.defined() && options.rounds_slopes) {  // as the class has it: bfloat16 times integers
          const at::Tensor slope = options.slopes.narrow(0, static_cast<std::int64_t>(head), 1).to(at::kBFloat16);
          scores = scores + (slope * at::arange(position + 1, at::kLong)).to(at::kDouble) * options.scale;
        } else if (options.slopes.defined()) {
          const at::Tensor distances = at::arange(position - first, -1, -1, at::kDouble);
          scores = scores - options.slopes[static_cast<std::int64_t>(head)].to(at::kDouble) * distances;
        }
        at::Tensor weights = at::exp(scores);
        const double sink =
            options.sinks.defined() ? std::exp(options.sinks[static_cast<std::int64_t>(head)].item<double>()) : 0;
        weights = weights / (weights.sum() + sink);
        out[span.query_row + i].narrow(0, column, d).copy_(at::mv(rows(in.values).t(), weights));
      }
    }
  }
  return out;
}

double largest_error(const at::Tensor& found, const at::Tensor& expected) {
  return (found.to(at::kDouble) - expected).abs().max().item<double>();
}

/// Without gradients, and with them: these are computed in different pieces.
void expect_as_defined(std::vector<int> kv_head_of, const Spans& spans, AttentionOptions options) {
  options.kv_head_of = std::move(kv_head_of);
  Inputs in = inputs_for(options, spans);
  const at::Tensor expected = by_definition(in, options, spans);
  EXPECT_LT(largest_error(attend(in.queries, in.keys, in.values, spans, options), expected), 1e-5);
  in.queries.requires_grad_();
  const at::Tensor differentiable = attend(in.queries, in.keys, in.values, spans, options);
  EXPECT_TRUE(differentiable.requires_grad());
  EXPECT_LT(largest_error(differentiable.detach(), expected), 1e-5);
}

/// Sequences one after another, each attending to itself.
Spans sequences(const std::vector<std::int64_t>& lengths) {
  Spans spans;
  std::int64_t row = 0;
  for (const std::int64_t length : lengths) {
    spans.push_back({row, length, row, length});
    row += length;
  }
  return spans;
}

TEST(Attention, SequencesSeeOnlyThemselves) {
  expect_as_defined({0, 1}, sequences({5, 5, 1, 9}), {.head_dim = 4, .scale = 0.5});
}

TEST(Attention, GroupsMayBeUnequalAndOutOfOrder) {
  expect_as_defined({2, 0, 1, 0, 0, 2}, sequences({7, 3}), {.head_dim = 4, .scale = 0.7});
}

TEST(Attention, LongSequencesAreCutIntoBlocks) {
  expect_as_defined({0, 0, 1}, sequences({150, 600}), {.head_dim = 8, .scale = 0.3});
}

TEST(Attention, WindowHidesOldKeys) {
  expect_as_defined({0, 1}, sequences({2, 3, 4, 40}), {.head_dim = 4, .scale = 0.5, .window = 3});
  expect_as_defined({0, 0}, sequences({200}), {.head_dim = 4, .scale = 0.5, .window = 70});
}

TEST(Attention, SoftcapBoundsScores) {
  expect_as_defined({0, 1}, sequences({12}), {.head_dim = 4, .scale = 2, .softcap = 1.5});
}

TEST(Attention, SinksTakeAShareOfEachHeads) {
  const at::Tensor sinks = at::tensor({2.0F, -1.0F, 0.5F, 3.0F, -20.0F, 1.0F});
  const std::vector<int> unequal = {2, 0, 1, 0, 0, 2};
  expect_as_defined(unequal, sequences({7, 7, 3}), {.head_dim = 4, .scale = 0.7, .sinks = sinks});
  expect_as_defined(unequal, sequences({1, 200}), {.head_dim = 4, .scale = 0.7, .window = 70, .sinks = sinks});
  expect_as_defined(unequal, {{0, 1, 0, 6}, {1, 1, 6, 6}}, {.head_dim = 4, .scale = 0.5, .sinks = sinks});
}

TEST(Attention, ScoresFallWithDistanceByEachHeadsSlope) {
  const at::Tensor slopes = at::tensor({0.5F, 0.25F, 0.125F, 1.0F});
  const std::vector<int> unequal = {1, 0, 0, 0};
  expect_as_defined(unequal, sequences({7, 7, 3}), {.head_dim = 4, .scale = 0.7, .slopes = slopes});
  expect_as_defined(unequal, sequences({200, 9}), {.head_dim = 4, .scale = 0.7, .slopes = slopes});
  expect_as_defined(unequal, {{0, 1, 0, 6}, {1, 1, 6, 6}}, {.head_dim = 4, .scale = 0.5, .slopes = slopes});
  expect_as_defined(unequal, {{0, 2, 0, 6}, {2, 1, 6, 3}},
                    {.head_dim = 4, .scale = 0.5, .window = 4, .slopes = slopes});
}

TEST(Attention, RoundedSlopesDependOnWhereAKeyIs) {
  const at::Tensor slopes = at::tensor({0.8409F, 0.7071F, 0.1F, 0.3F});
  const AttentionOptions options{.head_dim = 4, .scale = 0.5, .slopes = slopes, .rounds_slopes = true};
  const std::vector<int> unequal = {1, 0, 0, 0};
  expect_as_defined(unequal, sequences({300, 9}), options);
  expect_as_defined(unequal, {{0, 1, 0, 300}, {1, 1, 300, 290}}, options);
}

TEST(Attention, LastQueryIsAtTheLastKey) {
  const AttentionOptions options{.head_dim = 4, .scale = 0.5};
  expect_as_defined({0, 1, 1}, {{0, 1, 0, 6}, {1, 3, 10, 8}, {4, 1, 20, 1}}, options);
  expect_as_defined({0, 1, 1}, {{0, 1, 0, 6}, {1, 1, 6, 3}}, {.head_dim = 4, .scale = 0.5, .window = 2});
}

TEST(Attention, OneQueryEachReadsACacheWithRoomBehindEverySequence) {
  const Spans of_one_length = {{0, 1, 0, 9}, {1, 1, 16, 9}, {2, 1, 32, 9}};
  const Spans of_several = {{0, 1, 0, 9}, {1, 1, 16, 4}, {2, 1, 32, 16}, {3, 1, 48, 1}};
  for (const Spans& spans : {of_one_length, of_several}) {
    expect_as_defined({1, 0, 1, 1, 2}, spans, {.head_dim = 16, .scale = 0.5});
    expect_as_defined({1, 0, 1, 1, 2}, spans, {.head_dim = 11, .scale = 0.5});
    expect_as_defined({0, 1, 1}, spans, {.head_dim = 20, .scale = 2, .softcap = 1.5, .window = 5});
  }
}

}  // namespace
}  // namespace qcqa
