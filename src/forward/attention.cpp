#include "forward/attention.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "forward/attention_cpu.hpp"

namespace qcqa {
namespace {

/// Queries scored at a time: bounds the memory of the scores, and skips keys that none of them sees.
constexpr std::int64_t kQueryBlock = 512;

/// (queries, keys) of zeros and minus infinities for queries [first, first + count) of a sequence and keys [key_first,
/// key_end).
at::Tensor causal_mask(std::int64_t first, std::int64_t count, std::int64_t key_first, std::int64_t key_end, int window,
                       const at::Device& device) {
  const auto integers = at::TensorOptions().dtype(at::kLong).device(device);
  const at::Tensor query = at::arange(first, first + count, integers).unsqueeze(1);
  const at::Tensor key = at::arange(key_first, key_end, integers).unsqueeze(0);
  at::Tensor hidden = key > query;
  if (window > 0) hidden = hidden.logical_or(key <= query - window);
  return at::zeros({count, key_end - key_first}, at::TensorOptions().device(device))
      .masked_fill_(hidden, -std::numeric_limits<float>::infinity());
}

/// `count` sequences of one shape that lie one after another.
void attend_batch(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const AttentionSpan& first, std::int64_t count, const AttentionOptions& options, at::Tensor& out) {
  const auto heads_first = [&](const at::Tensor& packed, std::int64_t row, std::int64_t length) {
    return packed.narrow(0, row, count * length).reshape({count, length, -1, options.head_dim}).transpose(1, 2);
  };
  const at::Tensor q = heads_first(queries, first.query_row, first.queries);
  const at::Tensor index =
      at::tensor(at::ArrayRef<int>(options.kv_head_of), at::TensorOptions().dtype(at::kLong)).to(queries.device());
  const at::Tensor k = heads_first(keys, first.key_row, first.keys).index_select(1, index);
  const at::Tensor v = heads_first(values, first.key_row, first.keys).index_select(1, index);
  const std::int64_t past = first.keys - first.queries;
  at::Tensor target = heads_first(out, first.query_row, first.queries);
  for (std::int64_t begin = 0; begin < first.queries; begin += kQueryBlock) {
    const std::int64_t length = std::min(kQueryBlock, first.queries - begin);
    const std::int64_t key_end = past + begin + length;
    const std::int64_t key_begin =
        options.window > 0 ? std::max<std::int64_t>(0, past + begin - options.window + 1) : 0;
    const at::Tensor keys_seen = k.narrow(2, key_begin, key_end - key_begin);
    at::Tensor scores =
        at::matmul(q.narrow(2, begin, length), keys_seen.transpose(2, 3)).to(at::kFloat).mul_(options.scale);
    if (options.softcap > 0) scores = at::tanh(scores.div_(options.softcap)).mul_(options.softcap);
    if (length > 1)
      scores.add_(causal_mask(past + begin, length, key_begin, key_end, options.window, queries.device()));
    const at::Tensor weights = at::softmax(scores, -1).to(q.scalar_type());
    target.narrow(2, begin, length).copy_(at::matmul(weights, v.narrow(2, key_begin, key_end - key_begin)));
  }
}

bool follows(const AttentionSpan& a, const AttentionSpan& b) {
  return a.queries == b.queries && a.keys == b.keys && b.query_row == a.query_row + a.queries &&
         b.key_row == a.key_row + a.keys;
}

}  // namespace

at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const std::vector<AttentionSpan>& spans, const AttentionOptions& options, const Runtime& runtime) {
  if (runtime.own_kernels) return attend_on_cpu(queries, keys, values, spans, options);
  at::Tensor out = at::empty(queries.sizes(), queries.options());
  for (std::size_t i = 0; i < spans.size();) {
    std::size_t end = i + 1;
    while (end < spans.size() && follows(spans[end - 1], spans[end])) ++end;
    attend_batch(queries, keys, values, spans[i], static_cast<std::int64_t>(end - i), options, out);
    i = end;
  }
  return out;
}

}  // namespace qcqa
