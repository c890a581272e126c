// What the children of the tests do.
#pragma once

#include <string_view>

namespace pawl::actors::testing {

/// Returns the exit code.
int run_child_program(std::string_view program, int argc, char** argv);

}  // namespace pawl::actors::testing
