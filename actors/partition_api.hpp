// What the outside may ask of a partition, and what it answers. Free of CAF.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "actors/attempt.hpp"
#include "actors/commit_queue.hpp"
#include "workflow/command.hpp"
#include "workflow/decide.hpp"
#include "workflow/instance.hpp"

namespace pawl::actors {

/// How a run ended. `unknown`: the run was lost with a failed commit; send the start again under its command id.
struct run_result {
  engine::phase phase = engine::phase::none;
  std::string workflow_id{};
  std::uint32_t run = 0;
  std::string payload{};                   ///< msgpack, when completed
  std::optional<engine::failure> error{};  ///< otherwise
  enum class status : std::uint8_t { closed, not_found, unknown, unavailable, busy } state = status::closed;
};
using result_function = std::function<void(const run_result&)>;

/// A command for whatever run of the workflow is the current one.
struct command_request {
  std::string workflow_id;
  engine::command command;
  engine::closed_id_policy closed_id = engine::closed_id_policy::reject;
  owed_reply reply;
  result_function on_result;  ///< may be empty; only of a start, called only when that is applied or a duplicate
};

struct result_request {
  std::string workflow_id;
  std::uint32_t run = 0;  ///< 0: the newest
  result_function on_result;
};

/// How an update was answered. `ended`: the run ended without an answer.
struct update_answer {
  enum class status : std::uint8_t { answered, ended, not_found, unavailable, busy } state = status::unavailable;
  std::string workflow_id{};
  std::uint32_t run = 0;
  std::uint64_t seq = 0;  ///< of update_answered
  std::string value{};  ///< msgpack, when the code answered
  std::optional<engine::failure> error{};  ///< when it refused
  engine::phase phase = engine::phase::none;  ///< of the end
};
/// Waits for the answer to an update that is on record.
struct answer_request {
  std::string workflow_id;
  std::uint32_t run = 0;  ///< 0: whichever run it was applied to
  std::uint64_t seq = 0;  ///< of its update_received
  std::string command_id;
  std::function<void(const update_answer&)> on_answer;
  std::function<bool()> wanted{};  ///< false: nobody waits for it any more. Any thread
};

/// Which version new runs of a type get; for the partition that a workflow with the type's name for its id would be in.
struct use_request {
  std::string type;
  std::uint32_t version = 0;  ///< 0: none is marked any more
  std::string command_id;
  owed_reply reply;  ///< `outcome.seq` is the mark's revision
};

/// A look at the state of a run's code.
struct query_reply {
  enum class status : std::uint8_t {
    answered,
    invalid,  ///< no such query, or another input, or the workflow takes none
    failed,  ///< the handler threw
    too_large,
    not_found,
    conflict,  ///< the code has ended, or cannot be run here
    busy,
    unavailable,
  } state = status::unavailable;
  std::string value{};  ///< msgpack
  std::string code{};  ///< of what the handler threw
  std::string message{};
  std::uint32_t run = 0;
  std::string run_uid{};
  std::uint64_t seq = 0;  ///< of the newest event that the state rests on
  std::string pause_cause{};  ///< of a paused run
};
struct query_request {
  std::string workflow_id;
  std::string name;
  std::string input;  ///< msgpack
  std::function<void(const query_reply&)> on_reply;
};

/// How an attempt ended on another node, which led the partition before.
struct attempt_report {
  engine::run_uid uid{};
  engine::run_key key = 0;
  engine::incarnation incarnation = 0;  ///< that ran it
  engine::attempt_ended end;
  std::optional<std::string> details{};  ///< of a heartbeat that nobody has recorded
  /// `recorded`: it is on record, or of no use any more.
  owed_reply reply;
};

/// A step that has not ended, for people.
struct pending_step {
  std::string step;
  bool undo = false;
  std::string status;
  std::uint32_t attempt = 0;
  std::uint32_t counted = 0;
  std::uint32_t max_attempts = 0;
  std::optional<engine::time_point> next_retry{};
  std::optional<engine::failure> last_error{};
  bool suspect = false;
};

struct run_description {
  bool found = false;
  engine::run_key key = 0;
  engine::phase phase = engine::phase::none;
  bool paused = false;
  std::string pause_cause;
  std::vector<pending_step> steps;
  std::optional<engine::time_point> wake_at{};
};
struct describe_request {
  std::string workflow_id;
  std::function<void(const run_description&)> on_description;  ///< `found` is false for a run that is not in memory
};
/// What a run is waiting for, from its state.
run_description describe(const engine::instance& i, engine::run_key key, const engine::allowance& a,
                         engine::time_point now);

struct partition_status {
  std::size_t live = 0;
  std::size_t resting = 0;
  std::size_t timers = 0;
  std::size_t waiters = 0;
  std::size_t backlog = 0;  ///< due runs that wait to be loaded
  std::uint64_t started = 0;
  std::uint64_t closed = 0;
  std::uint64_t loaded = 0;
  std::uint64_t evicted = 0;
  std::uint64_t restarts = 0;  ///< actors that died and were started again
  std::uint64_t refused_busy = 0;
  std::uint64_t generation = 0;
  std::string trouble;
};
struct status_request {
  std::function<void(const partition_status&)> on_status;
};

}  // namespace pawl::actors
