// What is asked of a workflow, from JSON: a request's body and a message's value are read by the same code.
// docs/http.md and docs/commands.md say it for callers.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <pawl/registry.hpp>

#include "node/json_codec.hpp"
#include "node/problem.hpp"
#include "workflow/command.hpp"
#include "workflow/limits.hpp"
#include "workflow/version_choice.hpp"

namespace pawl::node {

/// A start that is taken apart. Its id is made where none is given.
struct start_request {
  std::string workflow_id;
  engine::start_command command;
  engine::closed_id_policy closed_id = engine::closed_id_policy::reject;
};

// Each returns what is wrong, or nullopt.

/// The version of a start that names none.
using version_chooser = std::function<engine::version_choice(const std::string& workflow_id, const std::string& type)>;

/// Of what is not there, `problem::code` is no_such_type or no_such_version, and facts.version is the version that it
/// would have got. Without `choose` a start that names no version gets the highest that is here.
std::optional<problem> read_start(json body, const registry& types, const engine::limits& limits, start_request& out,
                                  const version_chooser& choose = {});
/// A mark: a version, or that none is marked any more.
struct use_body {
  std::optional<std::uint32_t> version{};
  bool force = false;  ///< although no living node runs it
};
std::optional<problem> read_use(const json& body, use_body& out);

/// Of cancel, kill and pause.
std::optional<problem> read_reason(const json& body, std::string& reason);
/// It has no members.
std::optional<problem> read_resume(const json& body);

/// Name and input of a signal. Its type shows where the code awaits it, so the input is taken as it is.
std::optional<problem> read_signal(json body, const engine::limits& limits, engine::signal_command& out);

/// ... of an update,
std::optional<problem> read_update(json body, const engine::limits& limits, engine::update_command& out);
/// and of a query, whose input is then msgpack.
std::optional<problem> read_query(json body, const engine::limits& limits, std::string& name, std::string& input);

/// A reset, and a fork; `run` and `version` 0: as they are.
std::optional<problem> read_reset(const json& body, engine::reset_command& out);
struct fork_request {
  std::string workflow_id;  ///< of the new one
  std::uint64_t seq = 0;
  std::uint32_t run = 0;
  std::uint32_t version = 0;
  bool signals = true;
};
std::optional<problem> read_fork(const json& body, const engine::limits& limits, fork_request& out);

/// A skip whose result waits for its type, which the run's definition knows.
struct skip_request {
  std::string step;
  bool undo = false;
  json result = nullptr;
};
std::optional<problem> read_skip(json body, skip_request& out);
/// `definition` may be null. A step that is not there, and a definition that is not there, are for the engine to
/// refuse, on record.
std::optional<problem> read_skip_result(const skip_request& r, const pawl::detail::workflow_definition* definition,
                                        engine::skip_command& out);

std::optional<problem> check_workflow_id(const std::string& id, std::size_t limit);

problem too_long(std::string_view what, std::size_t size, std::size_t limit);
bool is_utf8_text(std::string_view text);  ///< valid UTF-8 without control characters

}  // namespace pawl::node
