# cmake -D BUILD=<build tree> -D SOURCE=<this folder> -D GENERATOR=<name> -D CXX=<compiler> -D CXX_FLAGS=.. -D BINDIR=<bin>
#       -P run.cmake
#
# Installs the build tree, moves the installed files elsewhere (a package must not remember where it was installed),
# and builds and runs the consumer project and the installed program there.
set(work ${BUILD}/tests/consumer)
file(REMOVE_RECURSE ${work})

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE rc)
  if(NOT rc EQUAL 0)
    message(FATAL_ERROR "failed (${rc}): ${ARGV}")
  endif()
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/installed)
file(RENAME ${work}/installed ${work}/moved)
run(${work}/moved/${BINDIR}/qcqa --version)

run(${CMAKE_COMMAND} -S ${SOURCE} -B ${work}/build -G ${GENERATOR} -DCMAKE_BUILD_TYPE=Release
  -DCMAKE_CXX_COMPILER=${CXX} "-DCMAKE_CXX_FLAGS=${CXX_FLAGS}" -DCMAKE_PREFIX_PATH=${work}/moved)
run(${CMAKE_COMMAND} --build ${work}/build)
run(${work}/build/consumer)

# A path of the build or source tree in the package would break it on the next machine.
file(GLOB_RECURSE files ${work}/moved/*.cmake)
get_filename_component(repository ${SOURCE}/../.. ABSOLUTE)
foreach(file IN LISTS files)
  file(STRINGS ${file} lines)
  foreach(line IN LISTS lines)
    string(FIND "${line}" "${repository}/" at)
    if(at GREATER -1)
      message(FATAL_ERROR "${file} names a path of this machine: ${line}")
    endif()
  endforeach()
endforeach()
