#include "support/blas.hpp"

#include <ATen/ATen.h>
#include <dlfcn.h>

#include <array>
#include <cstdint>
#include <initializer_list>

namespace qcqa {
namespace {

/// What a function of OpenBLAS that takes nothing says, or nothing where OpenBLAS is not loaded.
std::string openblas_says(const char* function) {
  using Says = const char* (*)();
  const auto says = reinterpret_cast<Says>(::dlsym(RTLD_DEFAULT, function));
  return says != nullptr ? says() : "";
}

/// An operand of a product: `rows` x `columns` of whole numbers from -2 to 2; sums of a few hundred of their products
/// are exact in any order.
struct Operand {
  std::int64_t rows, columns;
  bool transposed;  // stored column by column

  [[nodiscard]] int at(std::int64_t row, std::int64_t column) const {
    return static_cast<int>((7 * row * row + 3 * row * column + 11 * column + rows) % 5) - 2;
  }
  [[nodiscard]] at::Tensor tensor(at::ScalarType type) const {
    at::Tensor values = transposed ? at::empty({columns, rows}, at::kInt).t() : at::empty({rows, columns}, at::kInt);
    auto view = values.accessor<int, 2>();
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t column = 0; column < columns; ++column) view[row][column] = at(row, column);
    }
    return values.to(type);
  }
};

bool multiplies_right(const Operand& a, const Operand& b, at::ScalarType type) {
  const at::Tensor product = at::mm(a.tensor(type), b.tensor(type)).to(at::kInt);
  const auto values = product.accessor<int, 2>();
  std::vector<int> row(static_cast<std::size_t>(b.columns));
  for (std::int64_t i = 0; i < a.rows; ++i) {
    row.assign(row.size(), 0);
    for (std::int64_t k = 0; k < a.columns; ++k) {
      for (std::int64_t j = 0; j < b.columns; ++j) row[static_cast<std::size_t>(j)] += a.at(i, k) * b.at(k, j);
    }
    for (std::int64_t j = 0; j < b.columns; ++j) {
      if (values[i][j] != row[static_cast<std::size_t>(j)]) return false;
    }
  }
  return true;
}

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
  struct Product {
    std::int64_t rows, inner, columns;
  };
  for (const at::ScalarType type : {at::kFloat, at::kDouble}) {
    for (const bool first : {false, true}) {
      for (const bool second : {false, true}) {
        // One number, a row, sizes that are no multiple of a kernel's, and one that some kernels take as small; the
        // last is large for all.
        for (const auto& [rows, inner, columns] :
             std::initializer_list<Product>{{1, 1, 1}, {1, 70, 33}, {5, 3, 7}, {33, 70, 47}, {131, 129, 67}}) {
          if (!multiplies_right({rows, inner, first}, {inner, columns, second}, type)) return false;
        }
      }
    }
  }
  return true;
}

}  // namespace qcqa
