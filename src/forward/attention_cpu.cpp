#include "forward/attention_cpu.hpp"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstring>

#include "forward/cpu_kernels.hpp"

namespace qcqa {
namespace {

using cpu::kPanel;

constexpr std::int64_t kQueryBlock = 48;

/// The rows of one KV head in one sequence.
struct HeadData {
  const float* keys;
  const float* values;
  std::int64_t stride;
};

/// Everything one unit of work reads and writes.
struct Unit {
  const float* queries;
  float* out;
  std::int64_t query_stride, out_stride;
  HeadData kv;
  AttentionSpan span;
  const AttentionOptions* options;
};

std::int64_t first_key(const Unit& unit, std::int64_t query) {
  const std::int64_t position = unit.span.keys - unit.span.queries + query;
  return unit.options->window > 0 ? std::max<std::int64_t>(0, position - unit.options->window + 1) : 0;
}

/// One query: not worth packing anything.
void attend_one(const Unit& unit, std::int64_t head) {
  const std::int64_t d = unit.options->head_dim;
  const std::int64_t begin = first_key(unit, 0);
  const std::int64_t count = unit.span.keys - begin;
  std::vector<float> scores(static_cast<std::size_t>(count));
  const float* const query = unit.queries + unit.span.query_row * unit.query_stride + head * d;
  float* const out = unit.out + unit.span.query_row * unit.out_stride + head * d;
  for (std::int64_t i = 0; i < count; ++i)
    scores[static_cast<std::size_t>(i)] = cpu::dot(query, unit.kv.keys + (begin + i) * unit.kv.stride, d);
  cpu::softmax(scores.data(), count, static_cast<float>(unit.options->scale),
               static_cast<float>(unit.options->softcap));
  std::fill_n(out, d, 0.0F);
  for (std::int64_t i = 0; i < count; ++i)
    cpu::add_scaled(out, unit.kv.values + (begin + i) * unit.kv.stride, scores[static_cast<std::size_t>(i)], d);
}

/// The keys as a packed matrix (keys, head_dim) and the values as one of (head_dim, keys).
struct PackedHead {
  std::vector<float> keys, values;
};

PackedHead pack(const Unit& unit) {
  const std::int64_t d = unit.options->head_dim;
  const std::int64_t count = unit.span.keys;
  PackedHead packed;
  packed.keys.resize(static_cast<std::size_t>(cpu::panel_count(count) * d * kPanel));
  packed.values.resize(static_cast<std::size_t>(cpu::panel_count(d) * count * kPanel));
  for (std::int64_t first = 0; first < count; first += kPanel) {
    cpu::pack_rows(unit.kv.keys + first * unit.kv.stride, unit.kv.stride, std::min(kPanel, count - first), d,
                   &packed.keys[static_cast<std::size_t>(first * d)]);
  }
  for (std::int64_t first = 0; first < d; first += kPanel) {
    const auto bytes = static_cast<std::size_t>(std::min(kPanel, d - first)) * sizeof(float);
    float* const panel = &packed.values[static_cast<std::size_t>(first * count)];
    for (std::int64_t key = 0; key < count; ++key)
      std::memcpy(panel + key * kPanel, unit.kv.values + key * unit.kv.stride + first, bytes);
  }
  return packed;
}

void attend_head(const Unit& unit, const PackedHead& packed, std::int64_t head, std::vector<float>& scores) {
  const std::int64_t d = unit.options->head_dim;
  const std::int64_t past = unit.span.keys - unit.span.queries;
  for (std::int64_t begin = 0; begin < unit.span.queries; begin += kQueryBlock) {
    const std::int64_t rows = std::min(kQueryBlock, unit.span.queries - begin);
    // Whole panels of keys from the first that any of these queries sees to the last.
    const std::int64_t key_begin = first_key(unit, begin) / kPanel * kPanel;
    const std::int64_t key_end = past + begin + rows;
    const std::int64_t keys = key_end - key_begin;
    scores.resize(static_cast<std::size_t>(rows * keys));
    cpu::multiply({.x = unit.queries + (unit.span.query_row + begin) * unit.query_stride + head * d,
                   .x_stride = unit.query_stride,
                   .rows = rows,
                   .inputs = d,
                   .panels = packed.keys.data() + key_begin * d,
                   .panel_stride = d * kPanel,
                   .outputs = keys,
                   .y = scores.data(),
                   .y_stride = keys});
    for (std::int64_t row = 0; row < rows; ++row) {
      float* const line = scores.data() + row * keys;
      const std::int64_t seen_begin = first_key(unit, begin + row) - key_begin;
      const std::int64_t seen_end = past + begin + row + 1 - key_begin;
      std::fill(line, line + seen_begin, 0.0F);
      cpu::softmax(line + seen_begin, seen_end - seen_begin, static_cast<float>(unit.options->scale),
                   static_cast<float>(unit.options->softcap));
      std::fill(line + seen_end, line + keys, 0.0F);
    }
    cpu::multiply({.x = scores.data(),
                   .x_stride = keys,
                   .rows = rows,
                   .inputs = keys,
                   .panels = packed.values.data() + key_begin * kPanel,
                   .panel_stride = unit.span.keys * kPanel,
                   .outputs = d,
                   .y = unit.out + (unit.span.query_row + begin) * unit.out_stride + head * d,
                   .y_stride = unit.out_stride});
  }
}

}  // namespace

at::Tensor attend_on_cpu(const at::Tensor& queries, const at::Tensor& keys, const at::Tensor& values,
                         const std::vector<AttentionSpan>& spans, const AttentionOptions& options) {
  at::Tensor out = at::empty(queries.sizes());
  const float* const query_data = queries.data_ptr<float>();
  const float* const key_data = keys.data_ptr<float>();
  const float* const value_data = values.data_ptr<float>();
  float* const out_data = out.data_ptr<float>();
  const std::int64_t kv_heads = keys.size(1) / options.head_dim;
  parallel_for(static_cast<std::int64_t>(spans.size()) * kv_heads, [&](std::int64_t index) {
    const std::int64_t kv_head = index % kv_heads;
    const AttentionSpan& span = spans[static_cast<std::size_t>(index / kv_heads)];
    const std::int64_t first = span.key_row * keys.stride(0) + kv_head * options.head_dim;
    const Unit unit{
        query_data, out_data, queries.stride(0), out.stride(0), {key_data + first, value_data + first, keys.stride(0)},
        span,       &options};
    const PackedHead packed = span.queries > 1 ? pack(unit) : PackedHead();
    std::vector<float> scores;
    for (std::size_t head = 0; head < options.kv_head_of.size(); ++head) {
      if (options.kv_head_of[head] != kv_head) continue;
      if (span.queries == 1) {
        attend_one(unit, static_cast<std::int64_t>(head));
      } else {
        attend_head(unit, packed, static_cast<std::int64_t>(head), scores);
      }
    }
  });
  return out;
}

}  // namespace qcqa
