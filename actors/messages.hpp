// All messages between the actors, one comment each. CAF stays inside the process, so messages carry pointers; each
// pointer has one owner at a time, the one who received it last.
//
//     outside --request--> partition --deliver, tick, describe, leave--> workflow --(spawns)--> worker
//     worker --attempt_over--> workflow          commit queue --committed--> workflow
//     workflow --resting, answered, closed, bounced--> partition          ledger --slot_granted--> workflow
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/caf.hpp"
#include "actors/commit_queue.hpp"
#include "actors/partition_api.hpp"
#include "workflow/command.hpp"

namespace pawl::actors {

// to the partition

/// A command from outside for whatever run of the workflow is the current one.
struct request {
  std::shared_ptr<actors::command_request> body;
};
/// Wake me at `wake_at` (microseconds; INT64_MAX: never). `idle`: nothing is under way here until then, after
/// `received` messages from the partition. `life` is of the actor that says so: what its predecessors said is stale.
struct resting {
  engine::run_key key;
  std::uint64_t life;
  std::int64_t wake_at;
  std::uint64_t received;
  bool idle;
};
/// A tick, please: something came for me while I rested, and you may have forgotten me meanwhile.
struct tick_wanted {
  engine::run_key key;
  std::uint64_t life;
};
/// A run has ended, and that is committed.
struct closed {
  engine::run_key key;
  std::uint64_t life;
  std::shared_ptr<run_result> result;
  engine::run_key successor = 0;  ///< the run that goes on with it; 0: none
};
/// Everything that a dead actor had handed in is durable: its run can be loaded again. `waited`: so long as was
/// due after several deaths.
struct reload {
  engine::run_key key;
  std::uint64_t generation;
  bool waited;
};
/// The partition's earliest timer is due.
struct timer_due {};
/// The journal failed: everything in memory is void. `broken`: for good.
struct generation_over {
  std::uint64_t next;
  std::string why;
  bool broken;
};
/// The journal is open again.
struct generation_healed {
  std::uint64_t generation;
};
/// Resolve when the run is closed.
struct await_result {
  std::shared_ptr<result_request> body;
};
/// Resolve when that update is answered.
struct await_answer {
  std::shared_ptr<answer_request> body;
};
/// Updates that a run's code has answered, and that is committed.
struct answered {
  engine::run_key key;
  std::vector<std::shared_ptr<engine::event>> events;
};
/// Which version new runs of a type get.
struct use_version {
  std::shared_ptr<use_request> body;
};
/// What a run's code says of its state; also to a workflow, which answers when nothing of it is in flight.
struct ask_query {
  std::shared_ptr<query_request> body;
};
/// What a run is doing now.
struct describe_run {
  std::shared_ptr<describe_request> body;
};
/// An attempt has ended on another node, which led the partition before.
struct ended_elsewhere {
  std::shared_ptr<attempt_report> body;
};
/// What is known of the other nodes has changed.
struct nodes_changed {};
/// Counts for the status page.
struct ask_status {
  std::shared_ptr<status_request> body;
};

// to a workflow, to which the partition passes ended_elsewhere and nodes_changed on

struct deliver {
  std::shared_ptr<command_request> body;
};
/// Something is due.
struct tick {};
struct attempt_over {
  std::shared_ptr<engine::attempt_ended> end;
};
struct attempt_heartbeat {
  std::uint32_t step;
  bool undo;
  std::string details;
};
/// A function that its attempt had given up on has returned.
struct function_returned {};
struct committed {
  std::shared_ptr<decided> what;
};
struct slot_granted {
  std::shared_ptr<slot> what;
};
/// The partition has forgotten you.
struct leave {};

// to a worker

/// The function has returned, its time is over, or its child process is gone.
struct attempt_signal {};

}  // namespace pawl::actors

#define PAWL_LOCAL_MESSAGE(type) CAF_ALLOW_UNSAFE_MESSAGE_TYPE(pawl::actors::type)
PAWL_LOCAL_MESSAGE(request)
PAWL_LOCAL_MESSAGE(resting)
PAWL_LOCAL_MESSAGE(tick_wanted)
PAWL_LOCAL_MESSAGE(closed)
PAWL_LOCAL_MESSAGE(reload)
PAWL_LOCAL_MESSAGE(timer_due)
PAWL_LOCAL_MESSAGE(generation_over)
PAWL_LOCAL_MESSAGE(generation_healed)
PAWL_LOCAL_MESSAGE(await_result)
PAWL_LOCAL_MESSAGE(await_answer)
PAWL_LOCAL_MESSAGE(answered)
PAWL_LOCAL_MESSAGE(use_version)
PAWL_LOCAL_MESSAGE(ask_query)
PAWL_LOCAL_MESSAGE(describe_run)
PAWL_LOCAL_MESSAGE(ask_status)
PAWL_LOCAL_MESSAGE(ended_elsewhere)
PAWL_LOCAL_MESSAGE(nodes_changed)
PAWL_LOCAL_MESSAGE(deliver)
PAWL_LOCAL_MESSAGE(tick)
PAWL_LOCAL_MESSAGE(attempt_over)
PAWL_LOCAL_MESSAGE(attempt_heartbeat)
PAWL_LOCAL_MESSAGE(function_returned)
PAWL_LOCAL_MESSAGE(committed)
PAWL_LOCAL_MESSAGE(slot_granted)
PAWL_LOCAL_MESSAGE(leave)
PAWL_LOCAL_MESSAGE(attempt_signal)
#undef PAWL_LOCAL_MESSAGE
