#include "forward/for_each_batch.hpp"

#include <ATen/core/grad_mode.h>
#include <c10/core/InferenceMode.h>
#include <omp.h>

#include "qcqa/support/error.hpp"
#include "support/parallel.hpp"

namespace qcqa {

void for_each_batch(const Runtime& runtime, std::size_t count, const std::function<void(std::size_t)>& body) {
  if (!runtime.device.is_cpu() || count < static_cast<std::size_t>(omp_get_max_threads())) {
    const at::NoGradGuard no_gradients;
    for (std::size_t i = 0; i < count; ++i) body(i);
    return;
  }
  const bool inference = c10::InferenceMode::is_enabled();
  parallel_for(count, [&](std::size_t i) {
    const at::NoGradGuard no_gradients;  // guards hold for one thread
    const c10::InferenceMode same_mode(inference);
    body(i);
  });
}

void BatchProgress::add(std::int64_t units) {
  const std::int64_t done = done_ += units;
  if (report_ && omp_get_thread_num() == 0 && !report_(done)) stopped_ = true;
  throw_if_stopped();
}

void BatchProgress::throw_if_stopped() const {
  if (stopped_) throw Error(ErrorKind::interrupted, "forward pass", "interrupted");
}

}  // namespace qcqa
