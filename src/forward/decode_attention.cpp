#include "forward/decode_attention.hpp"

#include <ATen/ATen.h>

#include <array>
#include <cstddef>

#include "support/parallel.hpp"
#include "support/vector_clones.hpp"

namespace qcqa {
namespace {

/// One sequence's part of a cache.
struct CachedRows {
  const float* data;
  std::int64_t count, row_stride, head_stride, width;
};

constexpr int kLanes = 8;  ///< partial sums of a product: one order of adding on all machines

// Row after row, all heads of each: memory is read in the order in which it lies.

QCQA_VECTOR_CLONES
void multiply(const float* query, const CachedRows& keys, const int* kv_head_of, std::size_t heads, float* products) {
  const std::int64_t whole = keys.width - keys.width % kLanes;
  for (std::int64_t row = 0; row < keys.count; ++row) {
    const float* const of_row = keys.data + row * keys.row_stride;
    for (std::size_t head = 0; head < heads; ++head) {
      const float* const key = of_row + kv_head_of[head] * keys.head_stride;
      const float* const own = query + static_cast<std::int64_t>(head) * keys.width;
      std::array<float, kLanes> sums{};
      for (std::int64_t begin = 0; begin < whole; begin += kLanes) {
#pragma omp simd
        for (int lane = 0; lane < kLanes; ++lane) sums[lane] += own[begin + lane] * key[begin + lane];
      }
      for (std::int64_t i = whole; i < keys.width; ++i) sums[i - whole] += own[i] * key[i];
      products[static_cast<std::int64_t>(head) * keys.count + row] =
          ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
    }
  }
}

QCQA_VECTOR_CLONES
void add_up(const float* weights, const CachedRows& values, const int* kv_head_of, std::size_t heads, float* sums) {
  for (std::int64_t row = 0; row < values.count; ++row) {
    const float* const of_row = values.data + row * values.row_stride;
    for (std::size_t head = 0; head < heads; ++head) {
      const float* const value = of_row + kv_head_of[head] * values.head_stride;
      float* const sum = sums + static_cast<std::int64_t>(head) * values.width;
      const float weight = weights[static_cast<std::int64_t>(head) * values.count + row];
#pragma omp simd
      for (std::int64_t i = 0; i < values.width; ++i) sum[i] += weight * value[i];
    }
  }
}

/// visit(sequence, its rows) for all sequences of a cache.
template <typename Visit>
void for_each_sequence(const at::Tensor& cache, const Visit& visit) {
  parallel_for(static_cast<std::size_t>(cache.size(0)), [&](std::size_t index) {
    const auto sequence = static_cast<std::int64_t>(index);
    visit(sequence, CachedRows{cache.data_ptr<float>() + sequence * cache.stride(0), cache.size(1), cache.stride(1),
                               cache.stride(2), cache.size(3)});
  });
}

/// The numbers of one sequence.
float* of_sequence(const at::Tensor& all, std::int64_t sequence) {
  return all.data_ptr<float>() + sequence * all.stride(0);
}

}  // namespace

at::Tensor decode_scores(const at::Tensor& queries, const at::Tensor& keys, const std::vector<int>& kv_head_of) {
  const at::Tensor own = queries.contiguous();
  const at::Tensor scores = at::empty({own.size(0), own.size(1), keys.size(1)}, own.options());
  for_each_sequence(keys, [&](std::int64_t sequence, const CachedRows& rows) {
    multiply(of_sequence(own, sequence), rows, kv_head_of.data(), kv_head_of.size(), of_sequence(scores, sequence));
  });
  return scores;
}

at::Tensor decode_sums(const at::Tensor& weights, const at::Tensor& values, const std::vector<int>& kv_head_of) {
  const at::Tensor sums = at::zeros({weights.size(0), weights.size(1), values.size(3)}, weights.options());
  for_each_sequence(values, [&](std::int64_t sequence, const CachedRows& rows) {
    add_up(of_sequence(weights, sequence), rows, kv_head_of.data(), kv_head_of.size(), of_sequence(sums, sequence));
  });
  return sums;
}

}  // namespace qcqa
