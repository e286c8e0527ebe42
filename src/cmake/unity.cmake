# qcqa_unity_by_room(TARGET ROOT): in a unity build, the files of a room (the first folder below ROOT) are compiled
# together: what most of them spend their time on, the templates of nlohmann/json and fmt, is compiled once for all of
# them. So what the files of a room keep to themselves has names that are its own in the whole room.
function(qcqa_unity_by_room target root)
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    file(RELATIVE_PATH path ${root} ${source})
    string(REGEX REPLACE "/.*" "" room "${path}")
    if(room STREQUAL "..")  # made in the build folder, where rooms have folders too
      get_filename_component(folder "${source}" DIRECTORY)
      get_filename_component(room "${folder}" NAME)
    endif()
    set_source_files_properties("${source}" TARGET_DIRECTORY ${target} PROPERTIES UNITY_GROUP "${room}")
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD_MODE GROUP)
endfunction()
