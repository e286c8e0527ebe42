#pragma once

namespace qcqa::cli {

/// To be called first of all. Where OpenBLAS chose a slow kernel because it does not know the processor, starts the
/// program again with one that suits the processor's instructions (OpenBLAS reads OPENBLAS_CORETYPE while it is loaded,
/// so it must be there before); what the user set stands. Checks that the kernel multiplies right.
/// @throws Error(unsupported) when it does not
void choose_blas_kernel(char** argv);

}  // namespace qcqa::cli
