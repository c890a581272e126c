// The configuration of one command line: defaults, file, environment, flags.
#pragma once

#include "config/load.hpp"
#include "node/cli_options.hpp"

namespace pawl::node {

/// Every mistake is reported, a line each. Blocks on the file.
cli_result<config::loaded> load_configuration(const global_args& args);

/// ... from the given environment.
cli_result<config::loaded> load_configuration(const global_args& args,
                                              std::vector<std::pair<std::string, std::string>> environment);

}  // namespace pawl::node
