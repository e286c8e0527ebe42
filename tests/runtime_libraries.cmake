# cmake -D FILES=<program>;... -P runtime_libraries.cmake
#
# What a program loads:
#  - one OpenMP runtime. LibTorch and the compiler may each bring one; two in one process mean two thread pools that fight
#    for the cores.
#  - the C++ library before LibTorch, which may export parts of it that do not work (src/cmake/torch.cmake). ldd lists
#    libraries in the order in which names are looked up.
foreach(program IN LISTS FILES)
  execute_process(COMMAND ldd ${program} OUTPUT_VARIABLE text RESULT_VARIABLE rc)
  if(NOT rc EQUAL 0)
    message(FATAL_ERROR "ldd ${program} failed (${rc})")
  endif()
  if(text MATCHES "[^\n]*not found[^\n]*")
    message(FATAL_ERROR "${program}: ${CMAKE_MATCH_0}")
  endif()
  string(REGEX MATCHALL "=> [^ \n]*/lib[gi]?omp[^/ \n]*\\.so[^ \n]*" found "${text}")
  list(TRANSFORM found REPLACE "^=> " "")
  set(runtimes)
  foreach(path IN LISTS found)
    file(REAL_PATH ${path} path)
    list(APPEND runtimes ${path})
  endforeach()
  list(REMOVE_DUPLICATES runtimes)
  list(LENGTH runtimes count)
  if(NOT count EQUAL 1)
    message(FATAL_ERROR "${program}: ${count} OpenMP runtimes: ${runtimes}")
  endif()
  if(NOT text MATCHES "libstdc\\+\\+\\.so.*libtorch\\.so")
    message(FATAL_ERROR "${program}: LibTorch is loaded before the C++ library:\n${text}")
  endif()
  message(STATUS "${program}: ${runtimes}")
endforeach()
