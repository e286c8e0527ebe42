#pragma once

#include <ATen/core/Tensor.h>

#include "qcqa/checkpoint/dtype.hpp"
#include "qcqa/forward/forward_options.hpp"

namespace qcqa {

/// Where and with what a forward pass computes.
struct Runtime {
  at::Device device{at::kCPU};
  at::ScalarType type = at::kFloat;
  bool own_kernels = true;  ///< cpu_kernels.hpp instead of LibTorch's operators; float32 on CPU only

  /// @throws Error(unsupported) for bf16 on a CPU
  [[nodiscard]] static Runtime of(const ForwardOptions& options);

  [[nodiscard]] at::TensorOptions options() const { return at::TensorOptions().dtype(type).device(device); }
  [[nodiscard]] at::TensorOptions float_options() const { return at::TensorOptions().dtype(at::kFloat).device(device); }
};

/// Runs body(i) for i in [0, count) on all threads. The first exception comes out after the loop: none may leave it.
template <typename Body>
void parallel_for(std::int64_t count, const Body& body) {
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic)
  for (std::int64_t i = 0; i < count; ++i) {
    try {
      body(i);
    } catch (...) {
#pragma omp critical(qcqa_forward_failure)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace qcqa
