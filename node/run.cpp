#include <pawl/run.hpp>

#include <pawl/registry.hpp>

#include "node/child_attempt.hpp"
#include "node/cli.hpp"

namespace pawl {

int run(int argc, char** argv, registry& registry) {
  // A suspect step's attempt is this binary once more: before anything else, and before anything is read.
  if (const auto code = node::run_child_attempt(argc, argv, registry)) return *code;
  return node::run_command_line(argc, argv, registry);
}

}  // namespace pawl
