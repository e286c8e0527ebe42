#pragma once

#include <utility>

#include "qcqa/pipeline/session.hpp"

namespace qcqa::testing {

/// Of a run that a test interrupts, or goes on with.
inline Session session(Resume resume, ProgressFn progress = {}) {
  Session session;
  session.progress = std::move(progress);
  session.resume = resume;
  return session;
}

}  // namespace qcqa::testing
