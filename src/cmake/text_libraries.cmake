# qcqa_import_text_libraries()
#
# Defines the imported targets qcqa::pcre2 and qcqa::utf8proc, for this build and, through the
# installed qcqaConfig.cmake, for those who use the library. Found by header and library: what the packages say about
# themselves differs from one distribution to the next.
function(qcqa_import_text_library target header library package)
  if(TARGET qcqa::${target})
    return()
  endif()
  string(TOUPPER QCQA_${target} name)
  find_path(${name}_INCLUDE_DIR ${header})
  find_library(${name}_LIBRARY ${library})
  mark_as_advanced(${name}_INCLUDE_DIR ${name}_LIBRARY)
  if(NOT ${name}_INCLUDE_DIR OR NOT ${name}_LIBRARY)
    message(FATAL_ERROR "qcqa needs ${header} and the library ${library}: install Debian's ${package}, "
      "or set ${name}_INCLUDE_DIR and ${name}_LIBRARY")
  endif()
  add_library(qcqa::${target} UNKNOWN IMPORTED)
  set_target_properties(qcqa::${target} PROPERTIES
    IMPORTED_LOCATION "${${name}_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${${name}_INCLUDE_DIR}")
endfunction()

function(qcqa_import_text_libraries)
  qcqa_import_text_library(pcre2 pcre2.h pcre2-8 libpcre2-dev)
  qcqa_import_text_library(utf8proc utf8proc.h utf8proc libutf8proc-dev)
endfunction()
