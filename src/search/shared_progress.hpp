#pragma once

#include <atomic>
#include <mutex>
#include <string_view>

#include "qcqa/support/progress.hpp"

namespace qcqa {

/// Passes reports on from many threads, one at a time; once stopped, stopped.
class SharedProgress {
 public:
  SharedProgress(const ProgressFn& progress, std::string_view phase, std::int64_t done, std::int64_t total)
      : progress_(progress), event_{.phase = phase, .done = done, .total = total} {}

  [[nodiscard]] bool stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }
  void stop() noexcept { stopped_.store(true, std::memory_order_relaxed); }

  void one_done() {
    const std::scoped_lock lock(mutex_);
    ++event_.done;
    if (progress_ && !stopped() && !progress_(event_)) stop();
  }

 private:
  const ProgressFn& progress_;
  std::mutex mutex_;
  ProgressEvent event_;
  std::atomic<bool> stopped_{false};
};

}  // namespace qcqa
