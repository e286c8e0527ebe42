#include "forward/cpu_kernels.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

// Each kernel is written once, inlined into one function per instruction set, and vectorised by the compiler there.

namespace qcqa::cpu {
namespace {

#define QCQA_INLINE [[gnu::always_inline]] inline

/// Inputs multiplied at a time: a panel of them stays in the first-level cache.
constexpr std::int64_t kInputBlock = 384;

template <int kWidth>
struct VectorOf {
  typedef float Type __attribute__((vector_size(kWidth * sizeof(float)), may_alias, aligned(4)));
};

/// y[0..kRows) (+)= x[0..kRows) * kVectors * kWidth columns of a panel.
template <int kWidth, int kRows, int kVectors>
QCQA_INLINE void tile(const float* x, std::int64_t x_stride, const float* panel, std::int64_t inputs, float* y,
                      std::int64_t y_stride, const float* bias, bool first) {
  using Vector = typename VectorOf<kWidth>::Type;
  Vector sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) {
      if (!first) {
        sum[i][j] = *reinterpret_cast<const Vector*>(y + i * y_stride + j * kWidth);
      } else if (bias) {
        sum[i][j] = *reinterpret_cast<const Vector*>(bias + j * kWidth);
      } else {
        sum[i][j] = Vector{};
      }
    }
  }
  for (std::int64_t k = 0; k < inputs; ++k) {
    Vector w[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) w[j] = *reinterpret_cast<const Vector*>(panel + k * kPanel + j * kWidth);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const float factor = x[i * x_stride + k];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sum[i][j] += factor * w[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) *reinterpret_cast<Vector*>(y + i * y_stride + j * kWidth) = sum[i][j];
  }
}

template <int kWidth, int kRows, int kVectors>
QCQA_INLINE void tiles(const Product& p, std::int64_t& row, const float* x, const float* panel, std::int64_t inputs,
                       float* y, const float* bias, bool first) {
  for (; row + kRows <= p.rows; row += kRows) {
    tile<kWidth, kRows, kVectors>(x + row * p.x_stride, p.x_stride, panel, inputs, y + row * p.y_stride, p.y_stride,
                                  bias, first);
  }
}

/// All rows by kVectors * kWidth whole columns.
template <int kWidth, int kRows, int kVectors>
QCQA_INLINE void column_strip(const Product& p, const float* x, const float* panel, std::int64_t inputs, float* y,
                              const float* bias, bool first) {
  std::int64_t row = 0;
  tiles<kWidth, kRows, kVectors>(p, row, x, panel, inputs, y, bias, first);
  if constexpr (kRows > 8) tiles<kWidth, 8, kVectors>(p, row, x, panel, inputs, y, bias, first);
  if constexpr (kRows > 4) tiles<kWidth, 4, kVectors>(p, row, x, panel, inputs, y, bias, first);
  tiles<kWidth, 2, kVectors>(p, row, x, panel, inputs, y, bias, first);
  tiles<kWidth, 1, kVectors>(p, row, x, panel, inputs, y, bias, first);
}

/// The columns at the end that do not fill a vector, through a buffer that does.
template <int kWidth>
QCQA_INLINE void partial_strip(const Product& p, const float* x, const float* panel, std::int64_t inputs, float* y,
                               const float* bias, bool first, std::int64_t columns) {
  const auto bytes = static_cast<std::size_t>(columns) * sizeof(float);
  float padded_bias[kWidth] = {};
  if (bias) std::memcpy(padded_bias, bias, bytes);
  for (std::int64_t row = 0; row < p.rows; ++row) {
    float buffer[kWidth] = {};
    if (!first) std::memcpy(buffer, y + row * p.y_stride, bytes);
    tile<kWidth, 1, 1>(x + row * p.x_stride, p.x_stride, panel, inputs, buffer, kWidth, padded_bias, first);
    std::memcpy(y + row * p.y_stride, buffer, bytes);
  }
}

template <int kWidth, int kRows>
QCQA_INLINE void multiply_with(const Product& p) {
  const std::int64_t blocks = std::max<std::int64_t>(1, (p.inputs + kInputBlock - 1) / kInputBlock);
  const std::int64_t block = (p.inputs + blocks - 1) / blocks;
  for (std::int64_t k = 0; k < p.inputs; k += block) {
    const std::int64_t inputs = std::min(block, p.inputs - k);
    const bool first = k == 0;
    for (std::int64_t column = 0; column < p.outputs;) {
      const float* panel = p.panels + column / kPanel * p.panel_stride + k * kPanel + column % kPanel;
      const float* bias = p.bias ? p.bias + column : nullptr;
      const std::int64_t left = p.outputs - column;
      if (left >= 2 * kWidth && column % kPanel + 2 * kWidth <= kPanel) {
        column_strip<kWidth, kRows, 2>(p, p.x + k, panel, inputs, p.y + column, bias, first);
        column += 2 * kWidth;
      } else if (left >= kWidth) {
        column_strip<kWidth, kRows, 1>(p, p.x + k, panel, inputs, p.y + column, bias, first);
        column += kWidth;
      } else {
        partial_strip<kWidth>(p, p.x + k, panel, inputs, p.y + column, bias, first, left);
        column += left;
      }
    }
  }
}

/// e^x to two units in the last place; x below -87 counts as -87. After Cephes' expf (S. L. Moshier, 1989).
QCQA_INLINE float exponential(float x) {
  constexpr float kRound = 12582912.0F;  // adding it rounds to an integer in the low bits
  x = std::min(std::max(x, -87.0F), 88.0F);
  const float shifted = x * 1.44269504F + kRound;
  const float n = shifted - kRound;
  const float r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
  float p = 1.9875691500e-4F;
  p = p * r + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  const float mantissa = p * r * r + r + 1.0F;
  const auto bits = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(kRound);
  return mantissa * std::bit_cast<float>((bits + 127) << 23);
}

QCQA_INLINE float largest(const float* values, std::int64_t count) {
  float top = values[0];
#pragma omp simd reduction(max : top)
  for (std::int64_t i = 0; i < count; ++i) top = std::max(top, values[i]);
  return top;
}

QCQA_INLINE void softmax_with(float* scores, std::int64_t count, float scale, float softcap) {
  if (softcap > 0) {
#pragma omp simd
    for (std::int64_t i = 0; i < count; ++i) {
      const float e = exponential(2 * scale / softcap * scores[i]);
      scores[i] = softcap * (1 - 2 / (e + 1));
    }
    scale = 1;
  }
  const float top = largest(scores, count);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) {
    scores[i] = exponential((scores[i] - top) * scale);
    sum += scores[i];
  }
  const float factor = 1 / sum;
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) scores[i] *= factor;
}

QCQA_INLINE float dot_with(const float* a, const float* b, std::int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

QCQA_INLINE void add_scaled_with(float* y, const float* x, float factor, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] += factor * x[i];
}

QCQA_INLINE void rms_norm_with(const float* x, const float* weight, float epsilon, std::int64_t count, float* y) {
  const float square = dot_with(x, x, count) / static_cast<float>(count);
  const float factor = 1 / std::sqrt(square + epsilon);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) y[i] = x[i] * factor * weight[i];
}

QCQA_INLINE void silu_times_with(float* gate, const float* up, std::int64_t count) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) gate[i] = gate[i] / (1 + exponential(-gate[i])) * up[i];
}

QCQA_INLINE void rotate_with(float* head, const float* cosines, const float* sines, std::int64_t half) {
  float* const other = head + half;
#pragma omp simd
  for (std::int64_t i = 0; i < half; ++i) {
    const float a = head[i];
    const float b = other[i];
    head[i] = a * cosines[i] - b * sines[i];
    other[i] = b * cosines[i] + a * sines[i];
  }
}

/// Float32 sums of this many terms are added up in float64.
constexpr std::int64_t kSumBlock = 2048;

QCQA_INLINE double log_sum_exp_with(const float* logits, std::int64_t count) {
  const float top = largest(logits, count);
  double total = 0;
  for (std::int64_t begin = 0; begin < count; begin += kSumBlock) {
    const std::int64_t end = std::min(count, begin + kSumBlock);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = begin; i < end; ++i) sum += exponential(logits[i] - top);
    total += static_cast<double>(sum);
  }
  return static_cast<double>(top) + std::log(total);
}

QCQA_INLINE std::int64_t argmax_with(const float* logits, std::int64_t count) {
  const float top = largest(logits, count);
  std::int64_t i = 0;
  while (i + 1 < count && logits[i] != top) ++i;
  return i;
}

QCQA_INLINE double kl_with(const float* reference, float reference_sum, const float* other, float other_sum,
                           std::int64_t count) {
  double total = 0;
  for (std::int64_t begin = 0; begin < count; begin += kSumBlock) {
    const std::int64_t end = std::min(count, begin + kSumBlock);
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (std::int64_t i = begin; i < end; ++i) {
      const float r = reference[i] - reference_sum;
      sum += exponential(r) * (r - (other[i] - other_sum));
    }
    total += static_cast<double>(sum);
  }
  return total;
}

// One set of functions per instruction set, and a table of those that this processor has.

struct Table {
  void (*multiply)(const Product&);
  void (*softmax)(float*, std::int64_t, float, float);
  float (*dot)(const float*, const float*, std::int64_t);
  void (*add_scaled)(float*, const float*, float, std::int64_t);
  void (*rms_norm)(const float*, const float*, float, std::int64_t, float*);
  void (*silu_times)(float*, const float*, std::int64_t);
  void (*rotate)(float*, const float*, const float*, std::int64_t);
  double (*log_sum_exp)(const float*, std::int64_t);
  std::int64_t (*argmax)(const float*, std::int64_t);
  double (*kl)(const float*, float, const float*, float, std::int64_t);
};

#define QCQA_KERNELS(NAME, TARGET, WIDTH, ROWS)                                                                       \
  struct NAME {                                                                                                       \
    TARGET static void multiply(const Product& p) { multiply_with<WIDTH, ROWS>(p); }                                  \
    TARGET static void softmax(float* s, std::int64_t n, float scale, float cap) { softmax_with(s, n, scale, cap); }  \
    TARGET static float dot(const float* a, const float* b, std::int64_t n) { return dot_with(a, b, n); }             \
    TARGET static void add_scaled(float* y, const float* x, float f, std::int64_t n) { add_scaled_with(y, x, f, n); } \
    TARGET static void rms_norm(const float* x, const float* w, float e, std::int64_t n, float* y) {                  \
      rms_norm_with(x, w, e, n, y);                                                                                   \
    }                                                                                                                 \
    TARGET static void silu_times(float* g, const float* u, std::int64_t n) { silu_times_with(g, u, n); }             \
    TARGET static void rotate(float* h, const float* c, const float* s, std::int64_t n) { rotate_with(h, c, s, n); }  \
    TARGET static double log_sum_exp(const float* x, std::int64_t n) { return log_sum_exp_with(x, n); }               \
    TARGET static std::int64_t argmax(const float* x, std::int64_t n) { return argmax_with(x, n); }                   \
    TARGET static double kl(const float* r, float rs, const float* o, float os, std::int64_t n) {                     \
      return kl_with(r, rs, o, os, n);                                                                                \
    }                                                                                                                 \
    static constexpr Table kTable = {multiply,   softmax, dot,         add_scaled, rms_norm,                          \
                                     silu_times, rotate,  log_sum_exp, argmax,     kl};                               \
  };

#if defined(__x86_64__) && defined(__GNUC__)
QCQA_KERNELS(Avx512, __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma,prefer-vector-width=512"))), 16, 12)
QCQA_KERNELS(Avx2, __attribute__((target("avx2,fma"))), 8, 6)
#endif
QCQA_KERNELS(Baseline, , 4, 4)

const Table& kernels() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const Table& table = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
                                  ? Avx512::kTable
                              : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? Avx2::kTable
                                                                                                : Baseline::kTable;
  return table;
#else
  return Baseline::kTable;
#endif
}

}  // namespace

void multiply(const Product& product) { kernels().multiply(product); }

void pack_rows(const float* rows, std::int64_t stride, std::int64_t count, std::int64_t inputs, float* panel) {
  if (count < kPanel) std::fill_n(panel, inputs * kPanel, 0.0F);
  // In square blocks: both sides stay in cache.
  for (std::int64_t begin = 0; begin < inputs; begin += kPanel) {
    const std::int64_t end = std::min(inputs, begin + kPanel);
    for (std::int64_t row = 0; row < count; ++row) {
      for (std::int64_t k = begin; k < end; ++k) panel[k * kPanel + row] = rows[row * stride + k];
    }
  }
}

void softmax(float* scores, std::int64_t count, float scale, float softcap) {
  kernels().softmax(scores, count, scale, softcap);
}
float dot(const float* a, const float* b, std::int64_t count) { return kernels().dot(a, b, count); }
void add_scaled(float* y, const float* x, float factor, std::int64_t count) {
  kernels().add_scaled(y, x, factor, count);
}
void rms_norm(const float* x, const float* weight, float epsilon, std::int64_t count, float* y) {
  kernels().rms_norm(x, weight, epsilon, count, y);
}
void silu_times(float* gate, const float* up, std::int64_t count) { kernels().silu_times(gate, up, count); }
void rotate(float* head, const float* cosines, const float* sines, std::int64_t half) {
  kernels().rotate(head, cosines, sines, half);
}
double log_sum_exp(const float* logits, std::int64_t count) { return kernels().log_sum_exp(logits, count); }
std::int64_t argmax(const float* logits, std::int64_t count) { return kernels().argmax(logits, count); }
double kl_divergence(const float* reference, double reference_log_sum, const float* other, double other_log_sum,
                     std::int64_t count) {
  return kernels().kl(reference, static_cast<float>(reference_log_sum), other, static_cast<float>(other_log_sum),
                      count);
}

}  // namespace qcqa::cpu
