# Durable code needs clang (pawl/task.hpp).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(PAWL_TEST_LIBS pawl_needs_clang)
endif()
