#pragma once

#include "qcqa/support/error.hpp"

namespace qcqa {

/// The exception that is being handled as an Error: what LibTorch, the file system and the system throw becomes one of
/// its kind, memory that ran out is ErrorKind::io, and what nobody expects is ErrorKind::internal. For the place where
/// calls into the library end: `catch (...) { const Error error = current_error(); ... }`.
[[nodiscard]] Error current_error();

}  // namespace qcqa
