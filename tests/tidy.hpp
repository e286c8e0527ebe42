// Force-included where clang-tidy reads our sources (tests/run.sh tidy). Two things in Debian's headers are valid C++
// for GCC alone; nothing that is seen through this header is ever compiled.
#pragma once
// GCC's omp.h says which function frees what another allocates: an attribute that Clang has without arguments.
#define __malloc__(...)
// ATen of LibTorch 1.13 keeps vectors of a type that is not complete yet, and Clang needs the members of a vector at
// once where they are constexpr, as C++20 has them: here they are not. The renamed function is declared constexpr
// elsewhere.
#include <memory>
#include <string>
#undef _GLIBCXX20_CONSTEXPR
#define _GLIBCXX20_CONSTEXPR
#define __fill_a1 __fill_bits
#include <vector>
#undef __fill_a1
#undef _GLIBCXX20_CONSTEXPR
#define _GLIBCXX20_CONSTEXPR constexpr
