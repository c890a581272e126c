// A message of `<namespace>.commands` as a request to the engine. docs/commands.md says it for those who write them;
// what a command is made of is read by the code that reads the bodies of HTTP.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include <pawl/registry.hpp>

#include "actors/node_system.hpp"
#include "broker/command_codec.hpp"
#include "broker/command_intake.hpp"
#include "node/command_body.hpp"
#include "workflow/limits.hpp"

namespace pawl::node {

struct command_limits {
  engine::limits engine;
  std::size_t value = std::size_t{4} << 20;  ///< bytes of a message's value
};

/// What a message asks for.
struct message_command {
  std::string workflow_id;
  engine::command command;
  engine::closed_id_policy closed_id = engine::closed_id_policy::reject;
  std::optional<skip_request> skip;  ///< the command is this, once the type of its result is known
  std::optional<engine::run_uid> target{};  ///< none: the current run
  // Of nodes only; where one is there, there is no command.
  std::optional<broker::attempt_result> attempt{};
  std::optional<broker::held_attempts> held{};
  std::optional<engine::type_mark> mark{};
};
/// Why a message is none.
struct message_mistake {
  std::string cause;
  std::string detail;
  // Of a start whose type or version this binary does not have.
  std::string type{};
  std::uint32_t version = 0;
  bool of_start = false;
};

/// Never throws but for memory, whatever the bytes are.
std::optional<message_mistake> read_message(const broker::incoming_command& m, const registry& types,
                                            const command_limits& limits, message_command& out,
                                            const version_chooser& choose = {});

/// What is to become of the message whose command was answered like that.
broker::command_verdict verdict_on(const actors::command_reply& r);

/// Who takes what nodes and partitions tell each other; where it is empty, such a message is a dead letter.
struct peer_sinks {
  std::function<void(const std::string& workflow_id, broker::attempt_result, broker::command_done)> ended{};
  std::function<void(broker::held_attempts, broker::command_done)> held{};
  std::function<void(engine::type_mark, broker::command_done)> marked{};
};

/// Whether another living node runs a type that this binary lacks (version 0: any).
using runs_elsewhere_function = std::function<bool(std::string_view type, std::uint32_t version)>;

/// Reads, submits, and says what became of it. `types` and `system` must outlive the intake that calls it.
broker::command_handler make_command_handler(const registry& types, actors::node_system& system, command_limits limits,
                                             peer_sinks peers = {}, runs_elsewhere_function runs_elsewhere = {});

}  // namespace pawl::node
