#pragma once

/// Compiles a function twice, plain and for AVX2, and picks at load time. AVX2 alone, without fused multiply-add: the
/// rounding, and so every result, is then the same on all machines.
#if defined(__x86_64__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define QCQA_VECTOR_CLONES __attribute__((target_clones("default", "avx2")))
#else
#define QCQA_VECTOR_CLONES
#endif
