# The kinds of target that the project has. A room without a .cpp yet is configured, and nothing is built for it.
#
# PCH names the precompiled header that a target shares with others of its kind (cmake/precompiled/<kind>.hpp).
# HARDENED turns on the standard library's own checks in the debug presets; nothing that includes CAF may have it.

# pawl_room(<room> LIBS <libraries> [PCH <kind>] [HARDENED]): the library pawl_<room> from every .cpp of the folder.
function(pawl_room room)
  cmake_parse_arguments(PARSE_ARGV 1 arg "HARDENED" "PCH" "LIBS")
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  pawl_drop_caf(sources)
  if(NOT sources)
    add_library(pawl_${room} INTERFACE)
    target_link_libraries(pawl_${room} INTERFACE pawl_options ${arg_LIBS})
    return()
  endif()
  add_library(pawl_${room} STATIC ${sources})
  target_link_libraries(pawl_${room} PUBLIC pawl_options ${arg_LIBS} PRIVATE pawl_warnings)
  pawl_finish(pawl_${room} "${arg_PCH}" ${arg_HARDENED})
endfunction()

# pawl_program(<name> <sources> [LIBS <libraries>] [PCH <kind>] [HARDENED]): a binary in <build>/bin; without LIBS it
# gets the whole engine.
function(pawl_program name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "HARDENED" "PCH" "LIBS")
  if(NOT arg_LIBS)
    set(arg_LIBS pawl_node)
  endif()
  add_executable(${name} ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE pawl_options pawl_warnings pawl_allocator ${arg_LIBS})
  pawl_finish(${name} "${arg_PCH}" ${arg_HARDENED})
endfunction()

# pawl_example(<name> <sources> [LIBS <libraries>]): the library example_<name> with an example's workflows, which the
# stock binary `pawl` registers as well. Its tests need less than a node where it says so.
function(pawl_example name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "LIBS")
  if(NOT arg_LIBS)
    set(arg_LIBS pawl_node)
  endif()
  add_library(example_${name} STATIC ${arg_UNPARSED_ARGUMENTS})
  target_link_libraries(example_${name} PUBLIC pawl_options ${arg_LIBS} PRIVATE pawl_warnings)
  set_property(GLOBAL APPEND PROPERTY PAWL_EXAMPLES example_${name})
endfunction()

# pawl_drop_caf(<list variable>): where CAF is left out (PAWL_WITH_CAF), take the sources off the list that need it: that
# include it, or a header that does, or a header whose .cpp does.
function(pawl_drop_caf list_variable)
  if(PAWL_WITH_CAF)
    return()
  endif()
  set(kept "")
  foreach(source IN LISTS ${list_variable})
    set(seen "")
    pawl_needs_caf("${source}" needs seen)
    if(NOT needs)
      list(APPEND kept "${source}")
    endif()
  endforeach()
  set(${list_variable} ${kept} PARENT_SCOPE)
endfunction()

# --- behind the above -------------------------------------------------------------------------------------------------

function(pawl_needs_caf file result_variable seen_variable)
  set(${result_variable} OFF PARENT_SCOPE)
  if("${file}" IN_LIST ${seen_variable} OR NOT EXISTS "${file}")
    return()
  endif()
  set_property(DIRECTORY "${CMAKE_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
  set(seen ${${seen_variable}} "${file}")
  file(STRINGS "${file}" includes REGEX "^[ \t]*#[ \t]*include")
  foreach(include IN LISTS includes)
    if(include MATCHES "<caf/")
      set(${result_variable} ON PARENT_SCOPE)
      return()
    endif()
    if(include MATCHES "\"(.+)\\.hpp\"")
      foreach(next "${CMAKE_SOURCE_DIR}/${CMAKE_MATCH_1}.hpp" "${CMAKE_SOURCE_DIR}/${CMAKE_MATCH_1}.cpp")
        pawl_needs_caf("${next}" needs seen)
        if(needs)
          set(${result_variable} ON PARENT_SCOPE)
          return()
        endif()
      endforeach()
    endif()
  endforeach()
  set(${seen_variable} ${seen} PARENT_SCOPE)
endfunction()

function(pawl_finish target pch hardened)
  if(hardened)
    target_link_libraries(${target} PRIVATE pawl_hardened)
  endif()
  if(pch MATCHES "^actors" AND NOT PAWL_WITH_CAF)
    return()  # these have CAF in them
  endif()
  if(pch AND PAWL_PRECOMPILE)
    if(NOT TARGET precompiled_${pch})
      pawl_add_precompiled(${pch} ${hardened})
    endif()
    target_precompile_headers(${target} REUSE_FROM precompiled_${pch})
    target_compile_options(${target} PRIVATE ${PAWL_PRECOMPILED_FLAGS_${pch}})
  endif()
endfunction()

# The header is compiled once, by a library of its own whose flags are those of every target that shares it.
function(pawl_add_precompiled kind hardened)
  set(anchor "${CMAKE_BINARY_DIR}/precompiled/${kind}.cpp")
  if(NOT EXISTS "${anchor}")
    file(WRITE "${anchor}" "")
  endif()
  add_library(precompiled_${kind} OBJECT "${anchor}")
  target_link_libraries(precompiled_${kind} PRIVATE pawl_options pawl_warnings ${PAWL_PRECOMPILED_LIBS_${kind}})
  if(hardened)
    target_link_libraries(precompiled_${kind} PRIVATE pawl_hardened)
  endif()
  target_compile_options(precompiled_${kind} PRIVATE ${PAWL_PRECOMPILED_FLAGS_${kind}})
  target_precompile_headers(precompiled_${kind} PRIVATE "${CMAKE_SOURCE_DIR}/cmake/precompiled/${kind}.hpp")
endfunction()

set(PAWL_PRECOMPILED_LIBS_test GTest::gmock)
set(PAWL_PRECOMPILED_LIBS_busy_test GTest::gmock)
set(PAWL_PRECOMPILED_LIBS_node_test GTest::gmock)
set(PAWL_PRECOMPILED_LIBS_actors pawl_caf)
set(PAWL_PRECOMPILED_LIBS_actors_test pawl_caf GTest::gmock)
set(PAWL_PRECOMPILED_LIBS_node pawl_asio nlohmann_json::nlohmann_json spdlog::spdlog)

# Optimising costs more than half of the time that it takes to compile. In the debug presets it is left out where the
# code has little to do: the edges of the process, and the tests themselves but those that simulate (busy_test).
foreach(kind node test node_test actors_test)
  set(PAWL_PRECOMPILED_FLAGS_${kind} "$<$<CONFIG:Debug>:-O0>")
endforeach()
