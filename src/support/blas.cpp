#include "support/blas.hpp"

#include <ATen/ATen.h>
#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <initializer_list>
#include <utility>

namespace qcqa {
namespace {

/// What a function of OpenBLAS that takes nothing says, or nothing where OpenBLAS is not loaded.
std::string openblas_says(const char* function) {
  using Says = const char* (*)();
  const auto says = reinterpret_cast<Says>(::dlsym(RTLD_DEFAULT, function));
  return says != nullptr ? says() : "";
}

/// A matrix of whole numbers from -2 to 2; sums of a few hundred of their products are exact in any order.
at::Tensor whole_numbers(std::int64_t rows, std::int64_t columns) {
  at::Tensor matrix = at::empty({rows, columns}, at::kInt);
  auto values = matrix.accessor<int, 2>();
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t k = 0; k < columns; ++k) {
      values[i][k] = static_cast<int>((7 * i * i + 3 * i * k + 11 * k + rows) % 5) - 2;
    }
  }
  return matrix;
}

at::Tensor product_by_loop(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor product = at::zeros({a.size(0), b.size(1)}, at::kInt);
  const auto left = a.accessor<int, 2>(), right = b.accessor<int, 2>();
  auto sum = product.accessor<int, 2>();
  for (std::int64_t i = 0; i < a.size(0); ++i) {
    for (std::int64_t k = 0; k < a.size(1); ++k) {
      for (std::int64_t j = 0; j < b.size(1); ++j) sum[i][j] += left[i][k] * right[k][j];
    }
  }
  return product;
}

/// The same values, stored column by column.
at::Tensor by_columns(const at::Tensor& matrix) { return matrix.t().contiguous().t(); }

}  // namespace

VectorInstructions VectorInstructions::of_this_processor() noexcept {
#if defined(__x86_64__) && defined(__GNUC__)
  return {.avx2_and_fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"),
          .avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl")};
#else
  return {};
#endif
}

std::string blas_kernel() { return openblas_says("openblas_get_corename"); }

std::string blas_name() {
  const std::string config = openblas_says("openblas_get_config");  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..."
  if (config.empty()) return at::hasMKL() ? "MKL" : "unknown to qcqa";
  return config.substr(0, config.find(' ', config.find(' ') + 1)) + ", kernel " + blas_kernel();
}

std::vector<std::string> faster_blas_kernels(std::string_view kernel, VectorInstructions instructions) {
  static constexpr std::array<std::string_view, 14> kWithoutAvx = {
      "Prescott", "Katmai",     "Coppermine", "Northwood", "Banias",       "Core2",     "Penryn",
      "Nehalem",  "Dunnington", "Athlon",     "Opteron",   "Opteron_SSE3", "Barcelona", "Bobcat"};
  std::vector<std::string> faster;
  if (std::ranges::find(kWithoutAvx, kernel) == kWithoutAvx.end()) return faster;
  if (instructions.avx512) faster.emplace_back("SkylakeX");
  if (instructions.avx2_and_fma) faster.emplace_back("Haswell");
  return faster;
}

bool multiplies_right() {
  struct Shape {
    std::int64_t rows, inner, columns;
  };
  // One number, a row, sizes that are no multiple of a kernel's, and one that some kernels take as small; the last is
  // large for all.
  for (const auto& [rows, inner, columns] :
       std::initializer_list<Shape>{{1, 1, 1}, {1, 70, 33}, {5, 3, 7}, {33, 70, 47}, {131, 129, 67}}) {
    const at::Tensor a = whole_numbers(rows, inner), b = whole_numbers(inner, columns);
    const at::Tensor expected = product_by_loop(a, b);
    for (const at::Tensor& first : {a, by_columns(a)}) {
      for (const at::Tensor& second : {b, by_columns(b)}) {
        for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
          if (!at::equal(at::mm(first.to(type), second.to(type)), expected.to(type))) return false;
        }
      }
    }
  }
  return true;
}

bool rows_are_independent() {
  static constexpr std::int64_t kRows = 61, kInner = 32, kColumns = 32;
  const auto numbers = [](std::int64_t rows) {
    return at::arange(rows * kInner, at::kFloat).sin().view({rows, kInner});
  };
  const at::Tensor rows = numbers(kRows), columns = numbers(kColumns).t();
  const at::Tensor together = at::mm(rows, columns);
  for (const auto& [first, count] : {std::pair(0, 5), std::pair(7, 20), std::pair(20, 41), std::pair(48, 12)}) {
    if (!at::equal(at::mm(rows.narrow(0, first, count), columns), together.narrow(0, first, count))) return false;
  }
  return true;
}

}  // namespace qcqa
