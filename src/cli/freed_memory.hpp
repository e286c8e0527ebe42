#pragma once

namespace qcqa::cli {

/// For commands that run models: lets the C library keep large blocks that were freed. LibTorch takes and frees the
/// same megabytes for every piece of work; giving them back to the system each time took half the processor time again
/// (4.9 s beside 10.3 s for 23,269 tokens of a 15 M model). Resident memory then does not fall before the end.
void keep_freed_memory();

}  // namespace qcqa::cli
