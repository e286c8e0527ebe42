#pragma once

#include <cstddef>
#include <exception>

namespace qcqa {

/// body(i) for every i in [0, count), on all OpenMP threads, one at a time each as they come free. No exception may
/// leave a parallel region: one of those thrown comes out after the loop.
template <typename Body>
void parallel_for(std::size_t count, const Body& body) {
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic)
  for (std::size_t i = 0; i < count; ++i) {
    try {
      body(i);
    } catch (...) {
#pragma omp critical(qcqa_parallel_for_failure)
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace qcqa
