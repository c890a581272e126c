// How a command of the command line ends when it does not end well.
#pragma once

#include "config/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace pawl::node {

/// What main returns; the numbers are promised in <pawl/run.hpp> and docs/cli.md.
enum class exit_code : std::uint8_t {
  ok = 0,
  failed = 1,       ///< the workflow that was waited for, or the node itself
  usage = 2,        ///< the command line, the configuration or the input
  not_found = 3,    ///< no such workflow, type, version or step
  conflict = 4,     ///< the id or the directory is in use, or the workflow is not in such a state
  unavailable = 5,  ///< no node runs, or it is busy or stopping: try again later
};

/// For programs: "not_found".
std::string_view to_text(exit_code code);

/// A failure for people, and for programs with -o json.
struct cli_error {
  exit_code code = exit_code::failed;
  std::string
      what{};  ///< what happened, to which workflow, step, file or setting; no full stop; may have several lines
  std::string mend{};  ///< what to do, a sentence without its full stop; may be empty
  std::string json{};  ///< the node's own problem document, when it came from one

  /// "pawl: what. Mend." on lines of their own; control characters of user data must have been escaped.
  std::string text(const std::string& program) const;
};

template <class T>
using cli_result = config::outcome<T, cli_error>;

/// Done, or why not.
struct done {};

inline cli_error usage_error(std::string what, std::string mend) {
  return {exit_code::usage, std::move(what), std::move(mend), {}};
}

}  // namespace pawl::node
