# Language level, compiler launcher, linker, sanitizers, warnings. Defines the targets pawl_options (flags that make
# the build what its preset says) and pawl_warnings (what our own code is held to). Every target of ours links both.

option(PAWL_PRECOMPILE "Use precompiled headers (off in the gcc preset, which so finds a missing #include)" ON)
option(PAWL_WITH_CAF "Build the rooms that need CAF (actors, node) and what stands on them" ON)
option(PAWL_CHECK_CODE "Programs watch what code of workflows does on its own (docs/durable-code.md, \"Checking code\")" OFF)
set(PAWL_SANITIZE "" CACHE STRING "Sanitizers, as for -fsanitize=, a list: address;undefined or thread")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")

set(pawl_clang OFF)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  set(pawl_clang ON)
endif()

# --- ccache -----------------------------------------------------------------------------------------------------------
# Precompiled headers are cached only with this sloppiness. NOHASHDIR lets build directories share what has no
# precompiled header; BASEDIR stays unset, because it would let them share precompiled headers too, which hold absolute
# paths and break when the other directory goes. DEPEND (the compiler's own list of dependencies, the ignore list of the
# sanitizers included, instead of a second run of the preprocessor) makes a miss a quarter cheaper.
# It may not be sloppy about the times of headers: one that is changed while a file that includes it compiles would be
# taken for what was compiled, and the object kept for it is wrong in every directory from then on.
find_program(PAWL_CCACHE ccache)
if(PAWL_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      ${CMAKE_COMMAND} -E env
      CCACHE_NOHASHDIR=1
      CCACHE_DEPEND=1
      CCACHE_SLOPPINESS=pch_defines,time_macros
      ${PAWL_CCACHE})
endif()

# --- pawl_options -----------------------------------------------------------------------------------------------------
add_library(pawl_options INTERFACE)
target_include_directories(pawl_options INTERFACE "${CMAKE_SOURCE_DIR}" "${CMAKE_SOURCE_DIR}/include")

# The same for every target, or a precompiled header could not be shared between them.
target_compile_definitions(pawl_options INTERFACE
  PAWL_VERSION="${PROJECT_VERSION}"
  MSGPACK_NO_BOOST
  BOOST_ASIO_SEPARATE_COMPILATION
  BOOST_BEAST_SEPARATE_COMPILATION)

if(pawl_clang)
  # Without time stamps a precompiled header is the same file again, and ccache hits.
  target_compile_options(pawl_options INTERFACE "SHELL:-Xclang -fno-pch-timestamp")
elseif(PAWL_PRECOMPILE)
  target_compile_options(pawl_options INTERFACE -fpch-preprocess)
endif()

if(PAWL_SANITIZE)
  list(JOIN PAWL_SANITIZE "," sanitizers)
  target_compile_options(pawl_options INTERFACE
    -fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(pawl_options INTERFACE -fsanitize=${sanitizers})
  if(pawl_clang AND "undefined" IN_LIST PAWL_SANITIZE)
    target_compile_options(pawl_options INTERFACE
      -fsanitize-ignorelist=${CMAKE_SOURCE_DIR}/cmake/sanitizer_ignore.txt)
  endif()
endif()

# --- profile: what the compiler knows of the hot paths ----------------------------------------------------------------
# cmake/release.profdata holds how often each branch was taken under the benchmarks: measured here, a workflow on Kafka
# costs 11 % less for it. `./dev profile` counts anew. A function that has changed since is compiled as without; so an old
# profile is slower, never wrong. Static functions are named by their file's name alone, whatever the folder of the tree.
set(pawl_profile_default "")
if(pawl_clang AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 19 AND CMAKE_BUILD_TYPE STREQUAL "Release")
  set(pawl_profile_default use)
endif()
set(PAWL_PROFILE "${pawl_profile_default}" CACHE STRING
  "use: by cmake/release.profdata (clang 19, Release: the default); count: programs that write such counts; empty: neither")
set_property(CACHE PAWL_PROFILE PROPERTY STRINGS "" use count)
if(PAWL_PROFILE AND NOT PAWL_PROFILE MATCHES "^(use|count)$")
  message(FATAL_ERROR "PAWL_PROFILE is '${PAWL_PROFILE}'; it is use, count, or empty")
endif()
if(PAWL_PROFILE AND NOT pawl_clang)
  message(FATAL_ERROR "PAWL_PROFILE=${PAWL_PROFILE} needs clang, whose profile it is; -DPAWL_PROFILE= builds without")
endif()
if(PAWL_PROFILE)
  target_compile_options(pawl_options INTERFACE "SHELL:-mllvm -static-func-full-module-prefix=false")
endif()
if(PAWL_PROFILE STREQUAL "count")
  target_compile_options(pawl_options INTERFACE -fprofile-generate=${CMAKE_BINARY_DIR}/profile)
  target_link_options(pawl_options INTERFACE -fprofile-generate=${CMAKE_BINARY_DIR}/profile)
elseif(PAWL_PROFILE STREQUAL "use")
  set(pawl_profile "${CMAKE_CURRENT_LIST_DIR}/release.profdata")
  target_compile_options(pawl_options INTERFACE
    -fprofile-use=${pawl_profile}
    -Wno-backend-plugin)  # functions that have changed since
  # A new profile compiles everything anew.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${pawl_profile}")
  file(SHA256 "${pawl_profile}" pawl_profile_digest)
  target_compile_definitions(pawl_options INTERFACE PAWL_PROFILE_DIGEST="${pawl_profile_digest}")
endif()

find_program(PAWL_MOLD mold)
if(PAWL_MOLD)
  target_link_options(pawl_options INTERFACE -fuse-ld=mold)
endif()

# --- pawl_hardened: the checks of the standard library, in the debug presets --------------------------------------------
# Only for rooms without CAF: CAF 0.17 itself trips over them (cmake/sanitizer_ignore.txt has the story).
add_library(pawl_hardened INTERFACE)
target_compile_definitions(pawl_hardened INTERFACE $<$<CONFIG:Debug>:_GLIBCXX_ASSERTIONS>)

# --- pawl_warnings ----------------------------------------------------------------------------------------------------
add_library(pawl_warnings INTERFACE)
target_compile_options(pawl_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Werror)
if(NOT pawl_clang)
  # Its full -Wshadow is wider than clang's: it takes a parameter for a shadow of a nested type or a method. The others
  # it reports inside its own std::string and std::optional when it inlines; the dev preset's sanitizers see real ones.
  target_compile_options(pawl_warnings INTERFACE
    -Wno-shadow -Wshadow=local
    -Wno-dangling-else  # an EXPECT_EQ below an `if` without braces
    -Wno-maybe-uninitialized -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds)
endif()
