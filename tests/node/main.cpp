// The tests of child processes start this binary again for one attempt; then it is no test.
#include <gtest/gtest.h>

#include "node/child_attempt.hpp"
#include "tests/node/child_steps.hpp"

int main(int argc, char** argv) {
  if (const auto code = pawl::node::run_child_attempt(argc, argv, pawl::node::child_types())) return *code;
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
