#include "cli/freed_memory.hpp"

#include <cstdlib>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace qcqa::cli {

void keep_freed_memory() {
#if defined(__GLIBC__)
  static constexpr int kLargest = 1 << 30;
  (void)mallopt(M_MMAP_THRESHOLD, kLargest);
  (void)mallopt(M_TRIM_THRESHOLD, kLargest);
#endif
}

}  // namespace qcqa::cli
