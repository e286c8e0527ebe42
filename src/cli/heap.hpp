#pragma once

namespace qcqa::cli {

/// Lets the C library keep large blocks that were freed. LibTorch takes and frees the same megabytes for every piece of
/// work; handing them to the system each time cost half the processor time again (1.1 s of system time per 5,000 tokens
/// of a small model). For commands that compute on activations: resident memory no longer falls before the end.
void keep_freed_memory();

}  // namespace qcqa::cli
