# Durable code needs clang (pawl/task.hpp). The same cases once more as the optimiser of a release sees them.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(PAWL_TEST_LIBS pawl_needs_clang)
else()
  file(GLOB compiler_cases CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/*.cpp")
  pawl_program(test_optimised_compiler_cases ${compiler_cases} LIBS pawl_workflow GTest::gmock GTest::gtest_main
    HARDENED)
  target_compile_options(test_optimised_compiler_cases PRIVATE -O3)
  add_test(NAME optimised_compiler_cases COMMAND test_optimised_compiler_cases)
  set_tests_properties(optimised_compiler_cases PROPERTIES
    LABELS quick TIMEOUT 120 ENVIRONMENT "${pawl_test_environment}")
endif()
