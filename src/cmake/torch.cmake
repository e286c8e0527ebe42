# Defines qcqa_torch (LibTorch's headers and libraries) and qcqa_openmp (compiler flag and exactly one runtime).
#
# Default: find_package(Torch), which Debian's libtorch-dev and the official LibTorch archives provide
# (CMAKE_PREFIX_PATH). With QCQA_TORCH_FROM_PYTHON the libraries inside the wheel are linked directly: the
# wheel's own CMake package insists on a CUDA toolkit, which building against its libraries does not need.
add_library(qcqa_torch INTERFACE)
add_library(qcqa_openmp INTERFACE)

if(QCQA_TORCH_FROM_PYTHON)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c "import torch, os; print(os.path.dirname(torch.__file__)); print(torch.__version__)"
    OUTPUT_VARIABLE qcqa_torch_facts OUTPUT_STRIP_TRAILING_WHITESPACE RESULT_VARIABLE qcqa_torch_rc)
  if(NOT qcqa_torch_rc EQUAL 0)
    message(FATAL_ERROR "QCQA_TORCH_FROM_PYTHON: ${Python3_EXECUTABLE} cannot import torch. "
      "Install it there or name another interpreter with -DPython3_EXECUTABLE=...")
  endif()
  string(REPLACE "\n" ";" qcqa_torch_facts "${qcqa_torch_facts}")
  list(GET qcqa_torch_facts 0 qcqa_torch_root)
  list(GET qcqa_torch_facts 1 qcqa_torch_version)
  message(STATUS "LibTorch ${qcqa_torch_version} of ${qcqa_torch_root}")
  target_include_directories(qcqa_torch SYSTEM INTERFACE
    ${qcqa_torch_root}/include ${qcqa_torch_root}/include/torch/csrc/api/include)
  set(qcqa_torch_names torch torch_cpu c10)
  if(EXISTS ${qcqa_torch_root}/lib/libtorch_cuda.so)
    list(APPEND qcqa_torch_names torch_cuda c10_cuda)
  endif()
  target_link_options(qcqa_torch INTERFACE -Wl,--no-as-needed -Wl,-rpath,${qcqa_torch_root}/lib)
  foreach(name IN LISTS qcqa_torch_names)
    target_link_libraries(qcqa_torch INTERFACE ${qcqa_torch_root}/lib/lib${name}.so)
  endforeach()
  # The wheel carries its own libgomp; linking the compiler's as well would start two thread pools.
  file(GLOB qcqa_bundled_omp ${qcqa_torch_root}/lib/libgomp*.so* ${qcqa_torch_root}/../torch.libs/libgomp*.so*)
  if(qcqa_bundled_omp)
    list(GET qcqa_bundled_omp 0 qcqa_bundled_omp)
    target_compile_options(qcqa_openmp INTERFACE -fopenmp)
    target_link_libraries(qcqa_openmp INTERFACE ${qcqa_bundled_omp})
  endif()
else()
  find_package(Torch REQUIRED)
  target_link_libraries(qcqa_torch INTERFACE ${TORCH_LIBRARIES})
  target_include_directories(qcqa_torch SYSTEM INTERFACE ${TORCH_INCLUDE_DIRS})
  separate_arguments(qcqa_torch_flags UNIX_COMMAND "${TORCH_CXX_FLAGS}")
  target_compile_options(qcqa_torch INTERFACE ${qcqa_torch_flags})
endif()

if(NOT qcqa_bundled_omp)
  find_package(OpenMP REQUIRED COMPONENTS CXX)
  target_link_libraries(qcqa_openmp INTERFACE OpenMP::OpenMP_CXX)
endif()
