// Workflows whose steps are run in child processes by the tests.
#pragma once

#include <string>

#include <pawl/pawl.hpp>

namespace pawl::node {

struct child_job {
  std::string what;
  std::string file;  ///< where the step leaves word
  PAWL_FIELDS(what, file)
};

/// main() hands it to run_child_attempt, the tests to their node.
const registry& child_types();

}  // namespace pawl::node
