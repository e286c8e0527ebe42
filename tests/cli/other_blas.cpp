// To be loaded before OpenBLAS (LD_PRELOAD): as it is on a processor that is younger than itself, or one that a kernel
// multiplies wrong on (the one named in QCQA_WRONG_KERNEL, or `all`).
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

namespace {

const char* kernel() {
  const char* asked = std::getenv("OPENBLAS_CORETYPE");
  return asked != nullptr ? asked : "Prescott";
}

bool is_wrong() {
  const char* wrong = std::getenv("QCQA_WRONG_KERNEL");
  return wrong != nullptr && (std::strcmp(wrong, "all") == 0 || std::strcmp(wrong, kernel()) == 0);
}

template <typename T>
using Gemm = void (*)(const char*, const char*, const int*, const int*, const int*, const T*, const T*, const int*,
                      const T*, const int*, const T*, T*, const int*);

template <typename T>
void gemm(const char* symbol, const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k,
          const T* alpha, const T* a, const int* lda, const T* b, const int* ldb, const T* beta, T* c, const int* ldc) {
  const auto real = reinterpret_cast<Gemm<T>>(dlsym(RTLD_NEXT, symbol));
  real(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  if (is_wrong()) c[0] += 1;
}

}  // namespace

// NOLINTBEGIN(readability-identifier-naming): OpenBLAS names them so
extern "C" {

const char* openblas_get_corename() { return kernel(); }

void sgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k, const float* alpha,
            const float* a, const int* lda, const float* b, const int* ldb, const float* beta, float* c,
            const int* ldc) {
  gemm("sgemm_", trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void dgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k, const double* alpha,
            const double* a, const int* lda, const double* b, const int* ldb, const double* beta, double* c,
            const int* ldc) {
  gemm("dgemm_", trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
}
// NOLINTEND(readability-identifier-naming)
