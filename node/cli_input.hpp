// JSON that a person hands over: on the command line, in a file, or on standard input.
#pragma once

#include "node/cli_error.hpp"
#include "node/json_codec.hpp"

#include <cstddef>
#include <string>

namespace pawl::node {

/// `argument` is JSON, @FILE or -. `flag` is named in errors. Text above four times `limit` bytes is refused without
/// being read to its end; what is no JSON is refused with its line and column. Blocks on the file.
cli_result<json> read_json_argument(const std::string& flag, const std::string& argument, std::size_t limit);

}  // namespace pawl::node
