# Every header compiles alone: the target qcqa_headers is one file per header that includes nothing else.
file(GLOB_RECURSE headers CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include/*.hpp
  ${PROJECT_SOURCE_DIR}/src/*.hpp ${PROJECT_SOURCE_DIR}/tests/*.hpp ${PROJECT_SOURCE_DIR}/examples/*.hpp)
list(FILTER headers EXCLUDE REGEX "^tests/(consumer/|tidy.hpp)")
add_library(qcqa_headers OBJECT EXCLUDE_FROM_ALL)
foreach(header IN LISTS headers)
  set(alone ${CMAKE_CURRENT_BINARY_DIR}/headers/${header}.cpp)
  file(CONFIGURE OUTPUT ${alone} CONTENT "#include \"${header}\"\n" @ONLY)
  target_sources(qcqa_headers PRIVATE ${alone})
endforeach()
target_link_libraries(qcqa_headers PRIVATE qcqa::qcqa GTest::gtest CLI11::CLI11 qcqa::pcre2 qcqa::utf8proc)
target_include_directories(qcqa_headers PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests)
target_compile_options(qcqa_headers PRIVATE -fsyntax-only)
set_target_properties(qcqa_headers PROPERTIES UNITY_BUILD OFF EXPORT_COMPILE_COMMANDS OFF)
