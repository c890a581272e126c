// One attempt in a process of its own: this binary once more, told by its first argument. For steps suspected of
// killing their process.
//
//     parent                                              child
//       | -- call: type, version, step, arguments, ... -->  |   runs the step's function
//       | <------ alive, details of a heartbeat ---------   |
//       | <------ a line for the log --------------------   |
//       | -- stop: cancelled, or the node stops -------->   |   its stop_token is requested
//       | <------ result: a value or a failure ----------   |   and it exits
//
// A child that ends without a result has died by itself, unless we killed it; exit(0) out of a step counts as dying.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include <pawl/registry.hpp>

#include "actors/node_context.hpp"

namespace pawl::node {

struct child_options {
  std::string program = "/proc/self/exe";
  std::string name = "pawl";  ///< args[0] of the child
};

/// For actors::node_options::run_in_child. Its threads start with its first child; they end, and children left are
/// killed, when the last copy of the runner goes.
actors::child_runner make_child_runner(actors::log_sink log = {}, child_options options = {});

/// To be called first thing in main by every program whose node has a child runner. Runs the attempt and returns the
/// exit code if this process was started for one; nullopt otherwise.
std::optional<int> run_child_attempt(int argc, char** argv, const registry& types);

}  // namespace pawl::node
