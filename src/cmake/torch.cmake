# qcqa_import_torch(FROM_PYTHON <bool> [ROOT <folder of the Python package torch>])
#
# Defines two imported targets, for this build and, through the installed qcqaConfig.cmake, for those who use the library:
#   qcqa::torch    LibTorch's headers and libraries
#   qcqa::openmp   the compiler flag and the one OpenMP runtime that LibTorch uses as well
# They are imported so that the installed package names no path of this machine but the wheel's.
#
# FROM_PYTHON OFF: find_package(Torch), which Debian's libtorch-dev and the official LibTorch archives provide.
# FROM_PYTHON ON:  the libraries inside the wheel are linked directly: the wheel's own CMake package insists on a CUDA
#                  toolkit, which building against its libraries does not need.
function(qcqa_import_torch)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "FROM_PYTHON;ROOT" "")
  if(TARGET qcqa::torch)
    return()
  endif()
  add_library(qcqa::torch INTERFACE IMPORTED)
  add_library(qcqa::openmp INTERFACE IMPORTED)
  # Before LibTorch: official builds are made with a compiler whose own parts of the C++ library stay in what it links, and
  # libtorch.so of 2.11 exports a std::filesystem::remove_all that calls a null pointer. The first library that has a name wins.
  target_link_libraries(qcqa::torch INTERFACE stdc++)

  if(arg_FROM_PYTHON)
    set(lib ${arg_ROOT}/lib)
    set_target_properties(qcqa::torch PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES "${arg_ROOT}/include;${arg_ROOT}/include/torch/csrc/api/include")
    # Kernels register themselves when their library is loaded, so a library that no symbol is taken from matters too.
    set(libraries ${lib}/libtorch.so ${lib}/libtorch_cpu.so ${lib}/libc10.so)
    if(EXISTS ${lib}/libtorch_cuda.so)
      list(APPEND libraries ${lib}/libtorch_cuda.so ${lib}/libc10_cuda.so)
    endif()
    target_link_libraries(qcqa::torch INTERFACE -Wl,--no-as-needed ${libraries} -Wl,--as-needed)
    # The wheel carries its own OpenMP runtime; linking the compiler's as well could start two thread pools.
    file(GLOB bundled ${lib}/libgomp*.so* ${lib}/libiomp5*.so* ${arg_ROOT}/../torch.libs/libgomp*.so*)
    if(bundled)
      list(GET bundled 0 bundled)
      target_compile_options(qcqa::openmp INTERFACE -fopenmp)
      target_link_libraries(qcqa::openmp INTERFACE ${bundled})
      return()
    endif()
  else()
    find_package(Torch REQUIRED)
    separate_arguments(flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
    target_link_libraries(qcqa::torch INTERFACE ${TORCH_LIBRARIES})
    target_compile_options(qcqa::torch INTERFACE ${flags})
    set_target_properties(qcqa::torch PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${TORCH_INCLUDE_DIRS}")
  endif()

  find_package(OpenMP REQUIRED COMPONENTS CXX)
  target_link_libraries(qcqa::openmp INTERFACE OpenMP::OpenMP_CXX)
endfunction()

# qcqa_find_python_torch(<variable>): the folder of the package torch that Python3_EXECUTABLE imports.
function(qcqa_find_python_torch variable)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c
      "import os, torch; print(os.path.dirname(torch.__file__), torch.__version__, torch.compiled_with_cxx11_abi(), sep=';')"
    OUTPUT_VARIABLE facts OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE rc)
  if(NOT rc EQUAL 0)
    message(FATAL_ERROR "QCQA_TORCH_FROM_PYTHON: ${Python3_EXECUTABLE} cannot import torch. "
      "Install it there or name another interpreter with -DPython3_EXECUTABLE=...")
  endif()
  list(GET facts 0 root)
  list(GET facts 1 version)
  list(GET facts 2 cxx11_abi)
  if(NOT cxx11_abi STREQUAL "True")
    message(FATAL_ERROR "QCQA_TORCH_FROM_PYTHON: torch ${version} uses the C++ library's old ABI, in which the other "
      "dependencies are not built. Install torch 2.7 or newer")
  endif()
  message(STATUS "LibTorch ${version} of ${root}")
  set(${variable} ${root} PARENT_SCOPE)
endfunction()
