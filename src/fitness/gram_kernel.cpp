#include "fitness/gram_kernel.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#include "qcqa/checkpoint/float_codec.hpp"

// The kernel converts a panel of kColumns elements of every row to float64 in cache, then multiplies it with itself in
// register tiles (upper triangle only). It must keep up with the page cache: while a panel is multiplied the next one
// is prefetched, and partial sums stay in vector form until the end.
//
// Every product has kLanes partial sums, whatever the vector unit: element k of a row goes to sum k % kLanes. Units
// with shorter vectors pass over a panel once for each part of the lanes. So sums are formed in one order on all
// machines.

namespace qcqa {
namespace {

constexpr int kColumns = 256;
constexpr int kTile = 4;
constexpr int kLanes = 8;

template <int kWidth>
struct VectorOf {
  using Type [[gnu::vector_size(kWidth * sizeof(double)), gnu::may_alias]] = double;
};

/// Zeroed storage that the widest vectors can be loaded from.
class AlignedDoubles {
 public:
  explicit AlignedDoubles(std::size_t count)
      : data_(static_cast<double*>(::operator new(count * sizeof(double), kAlignment))) {
    std::fill_n(data_.get(), count, 0.0);
  }
  [[nodiscard]] double* data() const noexcept { return data_.get(); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(double* data) const noexcept { ::operator delete(data, kAlignment); }
  };
  std::unique_ptr<double, Free> data_;
};

struct Job {
  std::span<const std::byte* const> rows;
  Dtype dtype;
  std::size_t element_bytes;
  std::size_t begin, end;
};

[[gnu::always_inline]] inline void widen_bf16(const std::byte* source, double* target) {
  for (int i = 0; i < kColumns; ++i) {
    std::uint16_t half;
    std::memcpy(&half, source + 2 * i, sizeof half);
    target[i] = static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(half) << 16));
  }
}

[[gnu::always_inline]] inline void widen_f32(const std::byte* source, double* target) {
  for (int i = 0; i < kColumns; ++i) {
    float value;
    std::memcpy(&value, source + 4 * i, sizeof value);
    target[i] = static_cast<double>(value);
  }
}

/// One panel row; the last panel of a row is padded with zeros.
[[gnu::always_inline]] inline void fill_row(const Job& job, std::size_t row, std::size_t column, double* target) {
  const std::byte* source = job.rows[row] + column * job.element_bytes;
  const std::size_t count = std::min<std::size_t>(kColumns, job.end - column);
  if (count == kColumns && job.dtype == Dtype::bf16) {
    widen_bf16(source, target);
  } else if (count == kColumns && job.dtype == Dtype::f32) {
    widen_f32(source, target);
  } else {
    decode(std::span(source, count * job.element_bytes), job.dtype, std::span(target, count));
    std::fill(target + count, target + kColumns, 0.0);
  }
}

[[gnu::always_inline]] inline void prefetch_row(const Job& job, std::size_t row, std::size_t column) {
  if (row >= job.rows.size() || column >= job.end) return;
  const std::byte* source = job.rows[row] + column * job.element_bytes;
  const std::size_t bytes = std::min<std::size_t>(kColumns, job.end - column) * job.element_bytes;
  for (std::size_t offset = 0; offset < bytes; offset += 64) __builtin_prefetch(source + offset, 0, 2);
}

/// sum += a * b. An exact product (of floats with 24 bits or fewer, as float64) rounds to the same sum whether the
/// compiler fuses the two or not, so it may where the unit can. Any other product must be rounded first everywhere: the
/// baseline unit cannot do without.
template <bool kExact, typename Vector>
[[gnu::always_inline]] inline void add_product(Vector& sum, const Vector& a, const Vector& b) {
  if constexpr (kExact) {  // NOLINT(bugprone-branch-clone): the pragma is a difference
    sum += a * b;
  } else {
#if defined(__clang__)
#pragma clang fp contract(off)
    sum += a * b;
#else
    Vector product = a * b;
#if defined(__x86_64__)
    asm("" : "+v"(product));  // GCC fuses whatever it sees through
#elif defined(__aarch64__)
    asm("" : "+w"(product));
#endif
    sum += product;
#endif
  }
}

/// sums[(i * rows + j) * kLanes ...] += panel_i * panel_j for a kTile x kTileJ tile, in kWidth lanes from `lane` on.
template <bool kExact, int kWidth, int kTileJ>
[[gnu::always_inline]] inline void multiply_tile(const double* panel_i, const double* panel_j, double* sums,
                                                 std::size_t padded_rows, int lane) {
  using Vector = typename VectorOf<kWidth>::Type;
  const auto sum_at = [&](int i, int j) {
    return reinterpret_cast<Vector*>(
        sums + (static_cast<std::size_t>(i) * padded_rows + static_cast<std::size_t>(j)) * kLanes + lane);
  };
  Vector c[kTile][kTileJ];
  for (int i = 0; i < kTile; ++i) {
    for (int j = 0; j < kTileJ; ++j) c[i][j] = *sum_at(i, j);
  }
  for (int k = lane; k < kColumns; k += kLanes) {
    Vector a[kTile];
#pragma GCC unroll 8
    for (int i = 0; i < kTile; ++i) a[i] = *reinterpret_cast<const Vector*>(panel_i + i * kColumns + k);
#pragma GCC unroll 8
    for (int j = 0; j < kTileJ; ++j) {
      const Vector b = *reinterpret_cast<const Vector*>(panel_j + j * kColumns + k);
#pragma GCC unroll 8
      for (int i = 0; i < kTile; ++i) add_product<kExact>(c[i][j], a[i], b);
    }
  }
  for (int i = 0; i < kTile; ++i) {
    for (int j = 0; j < kTileJ; ++j) *sum_at(i, j) = c[i][j];
  }
}

template <bool kExact, int kWidth, int kTileJ>
[[gnu::always_inline]] inline std::vector<double> gram(const Job& job) {
  const std::size_t n = job.rows.size();
  const std::size_t padded = (n + kTile - 1) / kTile * kTile;
  const AlignedDoubles panel_storage(padded * kColumns);
  double* const panel = panel_storage.data();
  const AlignedDoubles sums(padded * padded * kLanes);
  for (std::size_t column = job.begin; column < job.end; column += kColumns) {
    for (std::size_t row = 0; row < n; ++row) fill_row(job, row, column, panel + row * kColumns);
    for (std::size_t i = 0; i < padded; i += kTile) {
      for (std::size_t row = i; row < i + kTile; ++row) prefetch_row(job, row, column + kColumns);
      for (std::size_t j = i; j < padded; j += kTileJ) {
        double* const tile = sums.data() + (i * padded + j) * kLanes;
        for (int lane = 0; lane < kLanes; lane += kWidth) {
          multiply_tile<kExact, kWidth, kTileJ>(panel + i * kColumns, panel + j * kColumns, tile, padded, lane);
        }
      }
    }
  }
  std::vector<double> out(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i; j < n; ++j) {
      const double* lanes = sums.data() + (i * padded + j) * kLanes;
      double sum = 0;
      for (int lane = 0; lane < kLanes; ++lane) sum += lanes[lane];
      out[i * n + j] = out[j * n + i] = sum;
    }
  }
  return out;
}

template <int kWidth, int kTileJ>
[[gnu::always_inline]] inline std::vector<double> gram(const Job& job) {
  return job.dtype == Dtype::f64 ? gram<false, kWidth, kTileJ>(job) : gram<true, kWidth, kTileJ>(job);
}

#if defined(__x86_64__) && defined(__GNUC__)
__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma"))) std::vector<double> gram_avx512(const Job& job) {
  return gram<8, 4>(job);
}
__attribute__((target("avx2,fma,f16c"))) std::vector<double> gram_avx2(const Job& job) { return gram<4, 2>(job); }
#endif
std::vector<double> gram_baseline(const Job& job) { return gram<2, 2>(job); }

}  // namespace

VectorUnit widest_vector_unit() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl")) {
    return VectorUnit::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return VectorUnit::avx2;
#endif
  return VectorUnit::baseline;
}

std::vector<double> gram_of_rows(std::span<const std::byte* const> rows, Dtype dtype, std::size_t begin,
                                 std::size_t end, VectorUnit unit) {
  const Job job{rows, dtype, dtype_bytes(dtype), begin, end};
#if defined(__x86_64__) && defined(__GNUC__)
  if (unit == VectorUnit::avx512) return gram_avx512(job);
  if (unit == VectorUnit::avx2) return gram_avx2(job);
#endif
  return gram_baseline(job);
}

}  // namespace qcqa
