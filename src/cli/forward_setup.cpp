#include "cli/forward_setup.hpp"

#include <ATen/Parallel.h>

#include <cstdlib>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace qcqa::cli {

void prepare_forward(int threads) {
  at::set_num_threads(threads);
#if defined(__GLIBC__)
  static constexpr int kLargest = 1 << 30;
  (void)mallopt(M_MMAP_THRESHOLD, kLargest);
  (void)mallopt(M_TRIM_THRESHOLD, kLargest);
#endif
}

}  // namespace qcqa::cli
