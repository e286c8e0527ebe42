#include "forward/attention.hpp"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <limits>
#include <map>

#include "forward/decode_attention.hpp"
#include "support/parallel.hpp"

namespace qcqa {
namespace {

/// Queries scored at a time: bounds the memory of the scores, and skips keys that none of them sees. On a CPU they
/// should stay in the second-level cache.
constexpr std::int64_t kQueriesInCache = 64;
constexpr std::int64_t kQueryBlockOnCpu = 128;
constexpr std::int64_t kQueryBlockOnGpu = 512;

/// KV heads that serve equally many query heads.
struct Bucket {
  std::int64_t group = 0;                 ///< query heads per KV head
  std::vector<std::int64_t> kv, queries;  ///< heads; the query heads of a KV head are neighbours
};

std::vector<Bucket> buckets_of(const std::vector<int>& kv_head_of) {
  std::map<int, std::vector<std::int64_t>> members;
  for (std::size_t head = 0; head < kv_head_of.size(); ++head) {
    members[kv_head_of[head]].push_back(static_cast<std::int64_t>(head));
  }
  std::map<std::size_t, Bucket> by_size;
  for (const auto& [kv_head, queries] : members) {
    Bucket& bucket = by_size[queries.size()];
    bucket.group = static_cast<std::int64_t>(queries.size());
    bucket.kv.push_back(kv_head);
    bucket.queries.insert(bucket.queries.end(), queries.begin(), queries.end());
  }
  std::vector<Bucket> buckets;
  for (auto& [size, bucket] : by_size) buckets.push_back(std::move(bucket));
  return buckets;
}

bool in_order(const std::vector<std::int64_t>& indices, std::int64_t count) {
  if (static_cast<std::int64_t>(indices.size()) != count) return false;
  for (std::int64_t i = 0; i < count; ++i) {
    if (indices[static_cast<std::size_t>(i)] != i) return false;
  }
  return true;
}

/// Those heads of a (batch, tokens, heads, head_dim) tensor; a view when they are all of them.
at::Tensor select_heads(const at::Tensor& heads, const std::vector<std::int64_t>& indices) {
  if (in_order(indices, heads.size(2))) return heads;
  return heads.index_select(2, at::tensor(at::ArrayRef<std::int64_t>(indices)).to(heads.device()));
}

/// 0 where query i sees key j, else minus infinity: (queries, keys), the last query being at the last key.
at::Tensor visibility(std::int64_t queries, std::int64_t keys, int window, const at::Device& device) {
  const at::Tensor hidden = at::full({queries, keys}, -std::numeric_limits<float>::infinity(),
                                     at::TensorOptions().dtype(at::kFloat).device(device));
  const std::int64_t past = keys - queries;
  const at::Tensor future = at::triu(hidden, past + 1);
  return window > 0 ? future + at::tril(hidden, past - window) : future;
}

/// What of AttentionOptions is a number of each query head; of some heads, in the shape that their scores want.
struct HeadTerms {
  at::Tensor sinks, slopes;  ///< undefined: none
};

/// @param heads  query heads  @param copies  how often they follow one another  @param shape  of the result
HeadTerms terms_of(const AttentionOptions& options, const std::vector<std::int64_t>& heads, std::int64_t copies,
                   at::IntArrayRef shape) {
  const auto chosen = [&](const at::Tensor& all) {
    if (!all.defined()) return all;
    const at::Tensor some =
        all.index_select(0, at::tensor(at::ArrayRef<std::int64_t>(heads), all.options().dtype(at::kLong)));
    return some.repeat({copies}).view(shape);
  };
  return {chosen(options.sinks), chosen(options.slopes)};
}

/// What the softmax is taken of. @param scores  (..., queries, keys), may be changed; the last query is at the last key
at::Tensor scaled(at::Tensor scores, const AttentionOptions& options, const HeadTerms& terms) {
  scores.mul_(options.scale);
  if (options.softcap > 0) scores = at::tanh(scores / options.softcap) * options.softcap;
  if (!terms.slopes.defined()) return scores;
  const std::int64_t queries = scores.size(-2), keys = scores.size(-1);
  const auto positions = [&](std::int64_t first) { return at::arange(first, keys, terms.slopes.options()); };
  if (!options.rounds_slopes)
    return scores.add_((positions(0) - positions(keys - queries).unsqueeze(1)) * terms.slopes);
  // What is rounded depends on where a key is, not on the distance alone. Taking the query's own from all scores keeps
  // them small and changes no softmax.
  const auto rounded = [](const at::Tensor& x) { return x.to(at::kBFloat16).to(at::kFloat); };
  const auto falls = [&](const at::Tensor& at) { return rounded(rounded(at) * rounded(terms.slopes)); };
  return scores.add_((falls(positions(0)) - falls(positions(keys - queries).unsqueeze(1))) * options.scale);
}

/// What each key counts. @param scores  (..., keys)
at::Tensor softmax(const at::Tensor& scores, const HeadTerms& terms) {
  if (!terms.sinks.defined()) return at::softmax(scores, -1);
  std::vector<std::int64_t> one_more = scores.sizes().vec();
  one_more.back() = 1;
  const at::Tensor all = at::softmax(at::cat({scores, terms.sinks.expand(one_more)}, -1), -1);
  return all.narrow(-1, 0, scores.size(-1)).contiguous();
}

/// @param q     (units, group, queries, head_dim)
/// @param k, v  (units, keys, head_dim)
/// @param terms  (units, group, 1, 1)
/// @returns like q
at::Tensor attend_groups(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionOptions& options,
                         const HeadTerms& terms, std::int64_t block) {
  const std::int64_t units = q.size(0);
  const std::int64_t group = q.size(1);
  const std::int64_t past = k.size(1) - q.size(2);
  std::vector<at::Tensor> blocks;
  for (std::int64_t begin = 0; begin < q.size(2); begin += block) {
    const std::int64_t queries = std::min(block, q.size(2) - begin);
    const std::int64_t end = past + begin + queries;
    const std::int64_t first =
        options.window > 0 ? std::max<std::int64_t>(0, past + begin - options.window + 1) : std::int64_t{0};
    const std::int64_t keys = end - first;
    const at::Tensor products = at::bmm(q.narrow(2, begin, queries).reshape({units, group * queries, q.size(3)}),
                                        k.narrow(1, first, keys).transpose(1, 2));
    const at::Tensor scores = scaled(products.to(at::kFloat).view({units, group, queries, keys}), options, terms);
    if (queries > 1) {
      // Without a window, only the last `queries` keys are hidden from some of them.
      const bool windowed = options.window > 0 && keys > options.window;
      const std::int64_t masked = windowed ? keys : queries;
      scores.narrow(3, keys - masked, masked)
          .add_(visibility(queries, masked, windowed ? options.window : 0, q.device()));
    }
    const at::Tensor weights = softmax(scores, terms).to(v.scalar_type()).view({units, group * queries, keys});
    blocks.push_back(at::bmm(weights, v.narrow(1, first, keys)).view({units, group, queries, q.size(3)}));
  }
  return blocks.size() == 1 ? blocks.front() : at::cat(blocks, 2);
}

/// Sequences of one shape; their queries follow one another, their keys begin at equal distances (a cache has room for
/// more behind each).
struct Run {
  AttentionSpan first;
  std::int64_t count = 0;
  std::int64_t key_stride = 0;
};

std::vector<Run> runs_of(const std::vector<AttentionSpan>& spans) {
  std::vector<Run> runs;
  for (const AttentionSpan& span : spans) {
    if (!runs.empty()) {
      Run& run = runs.back();
      const AttentionSpan& first = run.first;
      if (run.count == 1) run.key_stride = span.key_row - first.key_row;
      if (span.queries == first.queries && span.keys == first.keys && run.key_stride >= first.keys &&
          span.query_row == first.query_row + run.count * first.queries &&
          span.key_row == first.key_row + run.count * run.key_stride) {
        ++run.count;
        continue;
      }
    }
    runs.push_back({span, 1, span.keys});
  }
  return runs;
}

/// (count, length, heads, head_dim), a view of packed rows.
at::Tensor heads_of(const at::Tensor& packed, std::int64_t row, std::int64_t count, std::int64_t length, int head_dim) {
  return packed.narrow(0, row, count * length).reshape({count, length, -1, head_dim});
}

/// The same of rows that begin `stride` after one another.
at::Tensor heads_of_run(const at::Tensor& packed, const Run& run, int head_dim) {
  const std::int64_t length = run.first.keys;
  if (run.count == 1 || run.key_stride == length)
    return heads_of(packed, run.first.key_row, run.count, length, head_dim);
  return packed.narrow(0, run.first.key_row, (run.count - 1) * run.key_stride + length)
      .unfold(0, length, run.key_stride)  // count, width, length
      .transpose(1, 2)
      .unflatten(2, at::IntArrayRef({packed.size(1) / head_dim, head_dim}));
}

/// One KV head, the bucket's `index`-th, and its query heads, for sequences of one shape. Keys and values stay where
/// they are.
/// @param queries, out  (count, queries, heads, head_dim)
/// @param keys, values  (count, keys, heads, head_dim)
void attend_kv_head(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const Bucket& bucket,
                    std::size_t index, const AttentionOptions& options, const at::Tensor& out) {
  const auto first = bucket.queries.begin() + static_cast<std::ptrdiff_t>(index) * bucket.group;
  const std::vector<std::int64_t> members(first, first + bucket.group);
  const at::Tensor attended = attend_groups(
      select_heads(queries, members).transpose(1, 2), keys.select(2, bucket.kv[index]),
      values.select(2, bucket.kv[index]), options,
      terms_of(options, members, queries.size(0), {queries.size(0), bucket.group, 1, 1}), kQueriesInCache);
  for (std::int64_t member = 0; member < bucket.group; ++member) {
    out.select(2, members[static_cast<std::size_t>(member)]).copy_(attended.select(1, member));
  }
}

/// One query of each sequence of a run: a cache is read once, where it is.
at::Tensor decode_run(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const Run& run,
                      const AttentionOptions& options) {
  const std::int64_t past = options.window > 0 ? std::max<std::int64_t>(0, run.first.keys - options.window) : 0;
  const auto seen = [&](const at::Tensor& cache) {
    return heads_of_run(cache, run, options.head_dim).slice(1, past, run.first.keys);
  };
  const at::Tensor own = heads_of(queries, run.first.query_row, run.count, 1, options.head_dim).select(1, 0);
  const at::Tensor scores = decode_scores(own, seen(keys), options.kv_head_of).unsqueeze(2);
  const auto by_head = [](const at::Tensor& all) { return all.defined() ? all.view({1, -1, 1, 1}) : all; };
  const HeadTerms terms{by_head(options.sinks), by_head(options.slopes)};
  const at::Tensor weights = softmax(scaled(scores, options, terms), terms).squeeze(2);
  return decode_sums(weights, seen(values), options.kv_head_of).view({run.count, queries.size(1)});
}

/// All sequences of a run and all heads of a bucket in one batch.
at::Tensor attend_run(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values, const Run& run,
                      const std::vector<Bucket>& buckets, const AttentionOptions& options) {
  const AttentionSpan& span = run.first;
  const at::Tensor all_queries = heads_of(queries, span.query_row, run.count, span.queries, options.head_dim);
  const at::Tensor all_keys = heads_of_run(keys, run, options.head_dim);
  const at::Tensor all_values = heads_of_run(values, run, options.head_dim);
  std::vector<at::Tensor> parts;
  std::vector<std::int64_t> order;
  for (const Bucket& bucket : buckets) {
    const auto kv_heads = static_cast<std::int64_t>(bucket.kv.size());
    const std::int64_t units = run.count * kv_heads;
    const at::Tensor q = select_heads(all_queries, bucket.queries)
                             .reshape({run.count, span.queries, kv_heads, bucket.group, options.head_dim})
                             .permute({0, 2, 3, 1, 4})
                             .reshape({units, bucket.group, span.queries, options.head_dim});
    const auto batched = [&](const at::Tensor& all) {
      return select_heads(all, bucket.kv).transpose(1, 2).reshape({units, span.keys, options.head_dim});
    };
    const std::int64_t block = queries.is_cpu() ? kQueryBlockOnCpu : kQueryBlockOnGpu;
    const HeadTerms terms = terms_of(options, bucket.queries, run.count, {units, bucket.group, 1, 1});
    parts.push_back(attend_groups(q, batched(all_keys), batched(all_values), options, terms, block)
                        .view({run.count, kv_heads * bucket.group, span.queries, options.head_dim})
                        .transpose(1, 2));
    order.insert(order.end(), bucket.queries.begin(), bucket.queries.end());
  }
  const at::Tensor joined = parts.size() == 1 ? parts.front() : at::cat(parts, 2);
  std::vector<std::int64_t> place(order.size());
  for (std::size_t i = 0; i < order.size(); ++i)
    place[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  return select_heads(joined, place).reshape({run.count * span.queries, queries.size(1)});
}

/// One sequence and KV head per unit of work, on as many threads as there are: their scores stay in cache.
at::Tensor attend_in_parallel(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                              const std::vector<AttentionSpan>& spans, const std::vector<Bucket>& buckets,
                              const AttentionOptions& options) {
  const at::Tensor out = at::empty(queries.sizes(), queries.options());
  struct Unit {
    const AttentionSpan* span;
    const Bucket* bucket;
    std::size_t index;
  };
  std::vector<Unit> units;
  for (const AttentionSpan& span : spans) {
    for (const Bucket& bucket : buckets) {
      for (std::size_t i = 0; i < bucket.kv.size(); ++i) units.push_back({&span, &bucket, i});
    }
  }
  const bool inference = c10::InferenceMode::is_enabled();
  parallel_for(units.size(), [&](std::size_t i) {
    const at::NoGradGuard no_gradients;  // guards hold for one thread
    const c10::InferenceMode same_mode(inference);
    const auto& [span, bucket, index] = units[i];
    const auto heads = [&](const at::Tensor& packed, std::int64_t row, std::int64_t length) {
      return heads_of(packed, row, 1, length, options.head_dim);
    };
    attend_kv_head(heads(queries, span->query_row, span->queries), heads(keys, span->key_row, span->keys),
                   heads(values, span->key_row, span->keys), *bucket, index, options,
                   heads(out, span->query_row, span->queries));
  });
  return out;
}

bool needs_gradient(const at::Tensor& a, const at::Tensor& b, const at::Tensor& c) {
  return at::GradMode::is_enabled() && (a.requires_grad() || b.requires_grad() || c.requires_grad());
}

}  // namespace

at::Tensor attend(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                  const std::vector<AttentionSpan>& spans, const AttentionOptions& options) {
  const bool decoding = std::ranges::all_of(spans, [](const AttentionSpan& span) { return span.queries == 1; });
  const bool in_place = queries.is_cpu() && !needs_gradient(queries, keys, values);
  const auto join = [&](const auto& attend_one) {
    std::vector<at::Tensor> parts;
    for (const Run& run : runs_of(spans)) parts.push_back(attend_one(run));
    return parts.size() == 1 ? parts.front() : at::cat(parts, 0);
  };
  if (in_place && decoding && queries.scalar_type() == at::kFloat) {
    return join([&](const Run& run) { return decode_run(queries, keys, values, run, options); });
  }
  const std::vector<Bucket> buckets = buckets_of(options.kv_head_of);
  if (in_place) return attend_in_parallel(queries, keys, values, spans, buckets, options);
  return join([&](const Run& run) { return attend_run(queries, keys, values, run, buckets, options); });
}

}  // namespace qcqa
