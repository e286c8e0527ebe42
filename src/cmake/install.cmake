# cmake --install: the program, the library, its headers and a package that find_package(qcqa) finds.
include(CMakePackageConfigHelpers)

set(qcqa_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/qcqa)

# Only LibTorch's folder when that lies outside the system's; qcqa itself is static.
set_target_properties(qcqa_cli PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS qcqa qcqa_cli EXPORT qcqaTargets
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/qcqa DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(EXPORT qcqaTargets NAMESPACE qcqa:: DESTINATION ${qcqa_package_dir})

configure_package_config_file(src/cmake/qcqaConfig.cmake.in ${PROJECT_BINARY_DIR}/package/qcqaConfig.cmake
  INSTALL_DESTINATION ${qcqa_package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/qcqaConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/package/qcqaConfig.cmake
  ${PROJECT_BINARY_DIR}/package/qcqaConfigVersion.cmake
  ${PROJECT_SOURCE_DIR}/src/cmake/text_libraries.cmake
  ${PROJECT_SOURCE_DIR}/src/cmake/torch.cmake
  DESTINATION ${qcqa_package_dir})
