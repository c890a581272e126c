// The configuration of one command line: defaults, file, environment, flags. And which node it asks.
#pragma once

#include "config/load.hpp"
#include "node/cli_options.hpp"
#include "node/http_client.hpp"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pawl::node {

using environment_variables = std::vector<std::pair<std::string, std::string>>;

/// Every mistake is reported, a line each. Blocks on the file.
cli_result<config::loaded> load_configuration(const global_args& args);

/// ... from the given environment.
cli_result<config::loaded> load_configuration(const global_args& args, environment_variables environment);

/// The node that --node or PAWL_NODE names, with the token that --token-file, PAWL_TOKEN or the settings hold; nullopt:
/// none, so the one on the data directory. Blocks on the token's file.
cli_result<std::optional<remote_node>> find_remote_node(const global_args& args, const config::settings& s,
                                                        const environment_variables& environment);

}  // namespace pawl::node
