#include "forward/attention.hpp"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace qcqa {
namespace {

/// Heads, lengths and options of one case.
struct Case {
  AttentionOptions options;
  int kv_heads = 0;
  std::vector<AttentionSpan> spans;
};

struct Inputs {
  at::Tensor queries, keys, values;
};

Inputs inputs_for(const Case& c) {
  at::manual_seed(3);
  std::int64_t query_rows = 0;
  std::int64_t key_rows = 0;
  for (const AttentionSpan& span : c.spans) {
    query_rows = std::max(query_rows, span.query_row + span.queries);
    key_rows = std::max(key_rows, span.key_row + span.keys);
  }
  const auto width = static_cast<std::int64_t>(c.options.kv_head_of.size()) * c.options.head_dim;
  const std::int64_t kv_width = std::int64_t{c.kv_heads} * c.options.head_dim;
  return {at::randn({query_rows, width}), at::randn({key_rows, kv_width}), at::randn({key_rows, kv_width})};
}

/// Token by token in float64.
at::Tensor by_definition(const Inputs& in, const Case& c) {
  at::Tensor out = at::zeros(in.queries.sizes(), at::kDouble);
  const std::int64_t d = c.options.head_dim;
  for (const AttentionSpan& span : c.spans) {
    for (std::int64_t i = 0; i < span.queries; ++i) {
      const std::int64_t position = span.keys - span.queries + i;
      const std::int64_t first =
          c.options.window > 0 ? std::max<std::int64_t>(0, position - c.options.window + 1) : std::int64_t{0};
      for (std::size_t head = 0; head < c.options.kv_head_of.size(); ++head) {
        const std::int64_t column = static_cast<std::int64_t>(head) * d;
        const std::int64_t kv_column = std::int64_t{c.options.kv_head_of[head]} * d;
        const auto rows = [&](const at::Tensor& all) {
          return all.narrow(0, span.key_row + first, position + 1 - first).narrow(1, kv_column, d).to(at::kDouble);
        };
        const at::Tensor query = in.queries[span.query_row + i].narrow(0, column, d).to(at::kDouble);
        at::Tensor scores = at::mv(rows(in.keys), query) * c.options.scale;
        if (c.options.softcap > 0) scores = at::tanh(scores / c.options.softcap) * c.options.softcap;
        out[span.query_row + i].narrow(0, column, d).copy_(at::mv(rows(in.values).t(), at::softmax(scores, 0)));
      }
    }
  }
  return out;
}

double largest_error(const at::Tensor& found, const at::Tensor& expected) {
  return (found.to(at::kDouble) - expected).abs().max().item<double>();
}

/// Without gradients, and with them: these are computed in different pieces.
void expect_as_defined(const Case& c) {
  Inputs in = inputs_for(c);
  const at::Tensor expected = by_definition(in, c);
  EXPECT_LT(largest_error(attend(in.queries, in.keys, in.values, c.spans, c.options), expected), 1e-5);
  in.queries.requires_grad_();
  const at::Tensor differentiable = attend(in.queries, in.keys, in.values, c.spans, c.options);
  EXPECT_TRUE(differentiable.requires_grad());
  EXPECT_LT(largest_error(differentiable.detach(), expected), 1e-5);
}

/// Sequences one after another, each attending to itself.
std::vector<AttentionSpan> sequences(const std::vector<std::int64_t>& lengths) {
  std::vector<AttentionSpan> spans;
  std::int64_t row = 0;
  for (const std::int64_t length : lengths) {
    spans.push_back({row, length, row, length});
    row += length;
  }
  return spans;
}

TEST(Attention, SequencesSeeOnlyThemselves) {
  expect_as_defined({{.head_dim = 4, .scale = 0.5, .kv_head_of = {0, 1}}, 2, sequences({5, 5, 1, 9})});
}

TEST(Attention, GroupsMayBeUnequalAndOutOfOrder) {
  expect_as_defined({{.head_dim = 4, .scale = 0.7, .kv_head_of = {2, 0, 1, 0, 0, 2}}, 3, sequences({7, 3})});
}

TEST(Attention, LongSequencesAreCutIntoBlocks) {
  expect_as_defined({{.head_dim = 8, .scale = 0.3, .kv_head_of = {0, 0, 1}}, 2, sequences({150, 600})});
}

TEST(Attention, WindowHidesOldKeys) {
  expect_as_defined({{.head_dim = 4, .scale = 0.5, .window = 3, .kv_head_of = {0, 1}}, 2, sequences({2, 3, 4, 40})});
  expect_as_defined({{.head_dim = 4, .scale = 0.5, .window = 70, .kv_head_of = {0, 0}}, 1, sequences({200})});
}

TEST(Attention, SoftcapBoundsScores) {
  expect_as_defined({{.head_dim = 4, .scale = 2, .softcap = 1.5, .kv_head_of = {0, 1}}, 2, sequences({12})});
}

TEST(Attention, LastQueryIsAtTheLastKey) {
  const std::vector<AttentionSpan> from_cache = {{0, 1, 0, 6}, {1, 3, 10, 8}, {4, 1, 20, 1}};
  expect_as_defined({{.head_dim = 4, .scale = 0.5, .kv_head_of = {0, 1, 1}}, 2, from_cache});
  expect_as_defined(
      {{.head_dim = 4, .scale = 0.5, .window = 2, .kv_head_of = {0, 1, 1}}, 2, {{0, 1, 0, 6}, {1, 1, 6, 3}}});
}

}  // namespace
}  // namespace qcqa
