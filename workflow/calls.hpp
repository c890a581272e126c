// What runs ask of other workflows, and what they are answered: commands that leave with the batch that causes them.
//
//     parent: child_asked --start--> child's partition          child: its end --call_ended--> parent's partition
//     code: signal_sent --signal, cancel--> another workflow --call_ended, once that is decided--> code
//
// Each has a command id that is made of the run and the number of the call, so that one that comes again is known.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "workflow/command.hpp"
#include "workflow/instance.hpp"

namespace pawl::engine {

/// A command to another workflow.
struct outgoing {
  std::string workflow_id;
  engine::command command;
};

/// What these events of a run, which have just been folded into it, send.
std::vector<outgoing> calls_of(const instance& i, std::span<const event> events);

/// What the sender of a command is told that a workflow has decided; nothing where nobody waits for it, or where the
/// answer comes later (of a child that has started) or went out before (of a repeat).
std::optional<outgoing> answer_to_caller(const command& c, const outcome& o);

}  // namespace pawl::engine
