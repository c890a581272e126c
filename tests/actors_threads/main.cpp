// The tests of child processes start this binary again: with `child <program>` it is that program instead of the tests.
#include <gtest/gtest.h>

#include <string_view>

#include "tests/actors_threads/child_programs.hpp"

int main(int argc, char** argv) {
  if (argc >= 3 && std::string_view(argv[1]) == "child") {
    return pawl::actors::testing::run_child_program(argv[2], argc - 3, argv + 3);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
