# Every third party, found once. What is missing is named together with the mend.

set(CMAKE_THREAD_PREFER_PTHREAD ON)
find_package(Threads REQUIRED)

# msgpack-cxx is header only. Debian's package cannot be installed beside Boost 1.81, so `./dev setup` unpacks its
# headers into .deps/; an installed copy serves as well.
set(PAWL_DEPS_DIR "${CMAKE_SOURCE_DIR}/.deps" CACHE PATH "Where `./dev setup` unpacked the headers of msgpack-cxx")
find_path(PAWL_MSGPACK_INCLUDE msgpack.hpp HINTS "${PAWL_DEPS_DIR}/msgpack/usr/include")
if(NOT PAWL_MSGPACK_INCLUDE)
  message(FATAL_ERROR "msgpack.hpp (msgpack-cxx) is not in ${PAWL_DEPS_DIR}. Run `./dev setup`, which unpacks it there.")
endif()
add_library(pawl_msgpack INTERFACE)
target_include_directories(pawl_msgpack SYSTEM INTERFACE "${PAWL_MSGPACK_INCLUDE}")

# Programs of a build without sanitizers use jemalloc where it is present: measured here, a workflow costs 15 to 20 % less
# CPU than with glibc's allocator. Libraries do not: what a user's program allocates with is the user's choice.
add_library(pawl_allocator INTERFACE)
find_library(PAWL_JEMALLOC jemalloc)
if(PAWL_JEMALLOC AND NOT PAWL_SANITIZE)
  target_link_options(pawl_allocator INTERFACE "LINKER:--no-as-needed,${PAWL_JEMALLOC},--as-needed")
endif()

macro(pawl_find name)
  find_package(${name} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    message(FATAL_ERROR "${name} ${ARGN} was not found. Run `./dev setup`, which installs what the build needs.")
  endif()
endmacro()

pawl_find(tomlplusplus)
pawl_find(SQLite3)
pawl_find(GTest)
pawl_find(spdlog)

pawl_find(nlohmann_json)
pawl_find(ZLIB)

find_path(PAWL_RDKAFKA_INCLUDE librdkafka/rdkafka.h)
find_library(PAWL_RDKAFKA rdkafka)
if(NOT PAWL_RDKAFKA_INCLUDE OR NOT PAWL_RDKAFKA)
  message(FATAL_ERROR "librdkafka (librdkafka-dev) was not found. Run `./dev setup`, which installs what the build needs.")
endif()
add_library(pawl_rdkafka INTERFACE)
target_include_directories(pawl_rdkafka SYSTEM INTERFACE "${PAWL_RDKAFKA_INCLUDE}")
target_link_libraries(pawl_rdkafka INTERFACE "${PAWL_RDKAFKA}")

pawl_find(Boost 1.81)

# A checked build says where in the code a call came from: the compiler g++ brings what reads that from the program.
execute_process(COMMAND g++ -print-file-name=libbacktrace.a OUTPUT_VARIABLE PAWL_BACKTRACE OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND g++ -print-file-name=include OUTPUT_VARIABLE PAWL_BACKTRACE_INCLUDE OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT EXISTS "${PAWL_BACKTRACE}" OR NOT EXISTS "${PAWL_BACKTRACE_INCLUDE}/backtrace.h")
  message(FATAL_ERROR "libbacktrace (of g++) was not found. Run `./dev setup`, which installs what the build needs.")
endif()

if(PAWL_WITH_CAF)
  pawl_find(CURL)
  pawl_find(CLI11)
  pawl_find(date)
  pawl_find(benchmark)

  find_path(PAWL_CAF_INCLUDE caf/all.hpp)
  find_library(PAWL_CAF_CORE caf_core)
  if(NOT PAWL_CAF_INCLUDE OR NOT PAWL_CAF_CORE)
    message(FATAL_ERROR "CAF (libcaf-dev) was not found. Run `./dev setup`, which installs what the build needs.")
  endif()
  add_library(pawl_caf INTERFACE)
  target_include_directories(pawl_caf SYSTEM INTERFACE "${PAWL_CAF_INCLUDE}")
  target_link_libraries(pawl_caf INTERFACE "${PAWL_CAF_CORE}" Threads::Threads)

  # Asio and Beast compiled once instead of in every file that includes them.
  add_library(pawl_asio STATIC "${CMAKE_SOURCE_DIR}/cmake/asio.cpp")
  target_link_libraries(pawl_asio PRIVATE pawl_options PUBLIC Boost::headers Threads::Threads)
endif()
