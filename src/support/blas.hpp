#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace qcqa {

/// Instructions that kernels of a BLAS need, as the processor has them and the system lets programs use them.
struct VectorInstructions {
  bool avx2_and_fma = false;
  bool avx512 = false;  ///< F, CD, BW, DQ and VL

  [[nodiscard]] static VectorInstructions of_this_processor() noexcept;
};

/// OpenBLAS's name of the kernels it chose when it was loaded ("Prescott"); empty where LibTorch has another BLAS.
[[nodiscard]] std::string blas_kernel();

/// What LibTorch multiplies matrices with on the CPU: "OpenBLAS 0.3.21, kernel Haswell".
[[nodiscard]] std::string blas_name();

/// Kernels of OpenBLAS that use instructions which `kernel` leaves unused, fastest first. OpenBLAS goes by a list of
/// processors' models: on one that is younger than it, it falls back to the kernel of 2004 (SSE3), 3 to 5 times slower.
/// Where it chose any that uses AVX, it knew the processor, and its choice stands.
[[nodiscard]] std::vector<std::string> faster_blas_kernels(std::string_view kernel, VectorInstructions instructions);

/// Whether products of small matrices of whole numbers, by LibTorch on the CPU in float and double, are to the last bit
/// those of a plain loop. Takes some milliseconds.
[[nodiscard]] bool multiplies_right();

/// Whether a row of a product in float is the same to the last bit whatever rows are computed beside it. With OpenBLAS
/// 0.3.21's kernels for AVX2 without AVX-512 it is not: they take twelve rows together and those that are left over in
/// another way, and how threads divide the rows decides which are left over.
[[nodiscard]] bool rows_are_independent();

}  // namespace qcqa
